"""Any chain of steps, any step failing, stopped at any moment: states and charges add up."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from civitai_skill.sandbox import Fault

ORDER = ("unassigned", "preparing", "scheduled", "processing")
ENDS = ("succeeded", "failed", "expired", "canceled")
FOX: dict[str, Any] = {
    "engine": "flux2", "model": "klein", "operation": "createImage", "prompt": "a fox",
    "steps": 8, "cfgScale": 1, "width": 512, "height": 512,
}  # fmt: skip
VARIANT = {
    "engine": "sdcpp", "ecosystem": "sdxl", "operation": "createVariant", "prompt": "a fox",
    "model": "urn:air:sdxl:checkpoint:civitai:101055@128078", "strength": 0.4, "steps": 20,
    "width": 1024, "height": 1024,
}  # fmt: skip
JPEG = {"format": "jpeg", "hideMetadata": True}
#: Where a step's picture is; a step that is not here gives none.
PICTURE = {
    "first": "images[0]", "variant": "images[0]", "upscale": "blob", "cut": "image", "save": "blob",
}  # fmt: skip
FATES = ("failed", "failed-silent", "expired", "canceled")
SECONDS = 10.0


def build(kinds: list[tuple[str, int]]) -> tuple[list[Any], list[int | None], list[int]]:
    """The steps' JSON, which step each one starts from, and its documented price."""
    steps: list[Any] = [{"$type": "imageGen", "name": "s0", "input": FOX}]
    sources: list[int | None] = [None]
    prices, sizes, pictures, made = [3], [512], [0], ["first"]
    for i, (kind, choice) in enumerate(kinds, start=1):
        source = pictures[choice % len(pictures)]
        ref = {"$ref": f"s{source}", "path": f"output.{PICTURE[made[source]]}.url"}
        side = sizes[source]
        million = side * side / 1e6
        type, body, price, after = {
            "variant": ("imageGen", {**VARIANT, "image": ref}, 8, 1024),
            "upscale": ("imageUpscaler", {"image": ref, "numberOfRepeats": 1 + choice % 3},
                        max(1, math.ceil(million)) * 2 ** (1 + choice % 3),
                        min(8192, side * 2 ** (1 + choice % 3))),
            "cut": ("imageBackgroundRemoval", {"image": ref},
                    max(1, round((4.7 + 0.6 * million) * 1.25)), side),
            "save": ("convertImage", {"image": ref, "output": JPEG}, 1, side),
            "caption": ("mediaCaptioning", {"mediaUrl": ref}, 1, side),
            "tag": ("wdTagging", {"mediaUrl": ref}, 1, side),
        }[kind]  # fmt: skip
        steps.append({"$type": type, "name": f"s{i}", "input": body})
        sources.append(source)
        prices.append(price)
        sizes.append(after)
        made.append(kind)
        if kind in PICTURE:
            pictures.append(i)
    return steps, sources, prices


def net(value: Any) -> int:
    return sum(
        entry["amount"] * (1 if entry["type"] == "debit" else -1)
        for entry in value["transactions"]["list"]
    )


@given(
    kinds=st.lists(
        st.tuples(st.sampled_from(("variant", "upscale", "cut", "save", "caption", "tag")),
                  st.integers(0, 11)), max_size=6,
    ),
    broken=st.none() | st.tuples(st.integers(0, 6), st.sampled_from(FATES)),
    stop=st.none() | st.integers(0, 60),
)  # fmt: skip
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_states_and_charges_of_any_chain_add_up(
    play: Callable[..., Any], kinds: Any, broken: Any, stop: int | None
) -> None:
    steps, sources, prices = build(kinds)
    client = play(seconds_per_job=SECONDS)
    assert client.submit(*steps, whatif=True).json()["cost"]["total"] == sum(prices)
    before = sum(client.balance.values())
    at, fate = broken or (0, "")
    if broken and at < len(steps):
        client.sandbox.script(Fault("submit", "fate", fate=fate, step=f"s{at}"))
    value = client.submit(*steps).json()
    assert value["cost"]["total"] == net(value) == sum(prices)
    seen = ["unassigned"] * len(steps)
    for second in range(0, 84, 7):
        if stop is not None and stop <= second:
            client.put_changes(value["id"], status="canceled")
            stop = None
        value = client.workflow(value["id"])
        now = [step["status"] for step in value["steps"]]
        for old, new, source in zip(seen, now, sources, strict=True):
            assert old == new or (
                old in ORDER and (new in ENDS or ORDER.index(old) < ORDER.index(new))
            )
            if source is not None and now[source] in ORDER:
                assert new == "unassigned"
            elif source is not None and now[source] != "succeeded":
                assert new == "canceled"
        seen = now
        client.clock.sleep(7)
    assert set(seen) <= set(ENDS)
    if broken and at < len(steps):
        assert seen[at] in (fate.removesuffix("-silent"), "canceled")
    paid = sum(price for price, status in zip(prices, seen, strict=True) if status == "succeeded")
    assert net(value) == value["cost"]["total"] == paid
    assert before - sum(client.balance.values()) == paid
