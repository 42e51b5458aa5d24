"""The service's public catalogue (`/v2/services`): what is offered, how it fares, what it costs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Service:
    """One line of the catalogue, lenient: what is missing or odd is None.

    `parameters` are the values that select it, by wire name. `success` is a share of 1, `buzz` the
    median that users paid, `seconds` the median of a step and `slow` what 95 of 100 stayed under.
    """

    id: str
    parameters: Mapping[str, str] = field(default_factory=dict)
    status: str = "unknown"
    tags: tuple[str, ...] = ()
    success: float | None = None
    buzz: float | None = None
    seconds: float | None = None
    slow: float | None = None

    @property
    def deprecated(self) -> bool:
        return "deprecated" in " ".join(self.tags).lower()

    @classmethod
    def read(cls, given: Mapping[str, Any]) -> Service | None:
        """A line as the service answers it; None where it names nothing."""
        id, parameters = given.get("id"), given.get("parameters")
        if not isinstance(id, str) or not isinstance(parameters, Mapping):
            return None
        tags, metrics = given.get("tags"), given.get("metrics")
        metrics = metrics if isinstance(metrics, Mapping) else {}
        status = given.get("status")
        return cls(
            id,
            {str(name): str(value) for name, value in parameters.items()},
            status if isinstance(status, str) else "unknown",
            tuple(str(tag) for tag in tags) if isinstance(tags, list) else (),
            _number(metrics.get("successRate")),
            _number(metrics.get("costBuzz"), "p50"),
            _number(metrics.get("latencySeconds"), "p50"),
            _number(metrics.get("latencySeconds"), "p95"),
        )

    def serves(self, values: Mapping[str, str]) -> bool:
        """Is it about a request with these values, by wire name? It may say fewer of them."""
        return bool(self.parameters) and self.parameters.items() <= values.items()


def _number(value: Any, inside: str = "") -> float | None:
    if inside:
        value = value.get(inside) if isinstance(value, Mapping) else None
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None
