"""AIR: the names of models and LoRAs, `urn:air:<ecosystem>:<type>:<source>:<id>@<version>`.

The grammar is the published document's: `urn:`, `air:`, the ecosystem and the type may each be
left out, so `civitai:123@456` is an AIR too. What is left out cannot be checked.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

# The published document's own expression (schema ImageGenInputLora.air and every AIR field).
PATTERN = (
    r"^(?:urn:)?(?:air:)?(?:(?P<ecosystem>[a-zA-Z0-9_\-\/]+):)?(?:(?P<type>[a-zA-Z0-9_\-\/]+):)?"
    r"(?P<source>[a-zA-Z0-9_\-\/]+):(?P<id>[a-zA-Z0-9_\-\/\.]+)"
    r"(?:@(?P<version>[a-zA-Z0-9_\-\/.=,%+:]+))?(?:\.(?P<format>[a-zA-Z0-9_\-]+))?$"
)
_PATTERN = re.compile(PATTERN)

LORA_TYPES = frozenset({"lora", "lycoris", "locon", "dora"})
MODEL_TYPES = frozenset({"checkpoint", "diffuser", "diffusionmodel", "unet", "model"})
TYPES = LORA_TYPES | MODEL_TYPES | {"embedding", "hypernet", "vae", "controlnet", "upscaler"}

EXAMPLE = "urn:air:sdxl:lora:civitai:123456@789012"
MODEL_EXAMPLE = "urn:air:sdxl:checkpoint:civitai:133005@348913"


@dataclass(frozen=True)
class Air:
    """A parsed AIR. `ecosystem` and `type` are None where the text leaves them out."""

    source: str
    id: str
    ecosystem: str | None = None
    type: str | None = None
    version: str | None = None
    format: str | None = None

    @classmethod
    def parse(cls, text: str) -> Air:
        """Read an AIR. Raises ValueError when the text is not one."""
        match = _PATTERN.fullmatch(text)
        if match is None:
            raise ValueError(f"not an AIR; one looks like {EXAMPLE}")
        parts = match.groupdict()
        if parts["type"] is None and (parts["ecosystem"] or "").lower() in TYPES:
            parts["type"], parts["ecosystem"] = parts["ecosystem"], None
        return cls(**parts)

    @property
    def family(self) -> str | None:
        """The ecosystem in the spelling used for comparing: lower case, letters and digits only.

        None when it is left out. Sources disagree on case and separators (`zImage` in the recipe
        pages, `zimageturbo` from the site's API), so neither counts.
        """
        return None if self.ecosystem is None else fold(self.ecosystem)

    def __str__(self) -> str:
        parts = ["urn", "air", self.ecosystem, self.type, self.source, self.id]
        text = ":".join(p for p in parts if p)
        if self.version:
            text += f"@{self.version}"
        return f"{text}.{self.format}" if self.format else text


def is_air(text: str) -> bool:
    """Does the text follow the published grammar?"""
    return _PATTERN.fullmatch(text) is not None  # `$` alone lets a newline at the end pass


def fold(name: str) -> str:
    """A name without case and separators: `Flux2Klein_9B` and `flux2klein-9b` are the same."""
    return re.sub(r"[^a-z0-9]", "", name.lower())
