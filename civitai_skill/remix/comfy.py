"""ComfyUI's graph in its API format: `{id: {class_type, inputs}}`, a link is `[id, slot]`.

It is read from the node that makes the saved picture, upwards: what nobody reads is no part of it.
Names are file names, never hashes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from civitai_skill.remix.civitai import add_metadata
from civitai_skill.remix.reading import Named, Reading, read_sampling
from civitai_skill.remix.values import (
    LONGEST_NAME,
    decode,
    name_of,
    number_of,
    positive_of,
    text_of,
    whole_of,
)
from civitai_skill.schema.air import Air, is_air

_DEEPEST, _MOST_NODES, _MOST_LORAS = 20, 5_000, 60

#: Names of an input that leads on to a text, or is one.
_TEXTS = (
    "text", "populated_text", "string", "value", "Value", "prompt", "Text", "text_g", "text_l",
    "clip_l", "t5xxl", "positive", "wildcard_text", "conditioning", "conditioning_1", "text1",
    "text_a", "result",
)  # fmt: skip
_NUMBERS = ("value", "Value", "seed", "noise_seed", "int", "float", "number")
_THROUGH_MODEL = ("model", "unet", "guider", "lora_stack", "optional_lora_stack")


def find_graph(data: Mapping[str, Any]) -> dict[str, Mapping[str, Any]] | None:
    """The nodes of a graph, also where it stands under `prompt`; None where it is none."""
    inner = data.get("prompt")
    if isinstance(inner, str) and inner.lstrip()[:1] == "{":
        try:
            inner = decode(inner)
        except ValueError:
            inner = None
    for candidate in (data, inner):
        if isinstance(candidate, Mapping) and len(candidate) <= _MOST_NODES:
            nodes = {
                str(id): node
                for id, node in candidate.items()
                if isinstance(node, Mapping)
                and isinstance(node.get("class_type"), str)
                and isinstance(node.get("inputs"), Mapping)
            }
            if nodes:
                return nodes | _beside(data)
    return None


def _beside(data: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """What Civitai writes beside its nodes."""
    extra = data.get("extraMetadata")
    if isinstance(extra, str):
        try:
            extra = decode(extra)
        except ValueError:
            extra = None
    return {"extraMetadata": extra} if isinstance(extra, Mapping) else {}


def is_canvas(data: Mapping[str, Any]) -> bool:
    """Is it a workflow as the canvas saves it, with widgets by position?"""
    return isinstance(data.get("nodes"), list) and isinstance(data.get("links"), list)


def read_graph(nodes: dict[str, Mapping[str, Any]]) -> Reading:
    """The request that a graph is: of several passes the first, which draws from nothing."""
    extra = nodes.pop("extraMetadata", None)
    graph = _Graph(nodes)
    reading = Reading(dialect="comfyui")
    samplers = graph.samplers()
    first = next(
        (s for s in samplers if graph.is_from_nothing(s)), samplers[0] if samplers else None
    )
    if first is not None:
        _read_sampler(graph, first, reading)
        later = [s for s in samplers if s != first]
        if later:
            denoise = number_of(graph.number(later[0], "denoise"))
            reading.hires = {} if denoise is None else {"denoise": denoise}
            reading.not_carried.append("a second sampler pass")
    if extra is not None:
        add_metadata(reading, extra)
    return reading


def _read_sampler(graph: _Graph, id: str, reading: Reading) -> None:
    reading.seed = whole_of(graph.number(id, "seed", "noise_seed", "noise"))
    reading.steps = positive_of(graph.number(id, "steps", "sigmas"))
    reading.guidance = number_of(graph.number(id, "cfg", "guider"))
    schedule = graph.word(id, "scheduler", "sigmas")
    reading.sampling = read_sampling(graph.word(id, "sampler_name", "sampler"), schedule)
    denoise = number_of(graph.number(id, "denoise", "sigmas"))
    guidance = graph.upwards(id, "FluxGuidance")
    reading.distilled_guidance = number_of(graph.number(guidance, "guidance")) if guidance else None
    guider = graph.target(id, "guider") or id
    reading.prompt = (graph.text(guider, "positive") or graph.text(guider, "conditioning")).strip()
    reading.negative_prompt = graph.text(guider, "negative").strip()
    latent = graph.latent(id)
    if latent is not None:
        reading.width = positive_of(graph.number(latent, "width", "empty_latent_width"))
        reading.height = positive_of(graph.number(latent, "height", "empty_latent_height"))
    elif denoise is not None and 0 < denoise < 1:
        reading.denoise, reading.needs_source_image = denoise, True
    _read_models(graph, id, reading)


def _read_models(graph: _Graph, id: str, reading: Reading) -> None:
    for each in graph.chain(id):
        inputs = graph.inputs(each)
        for name, strength in _loras(inputs):
            resolved = graph.air_or_name(each, name)
            if resolved and strength and len(reading.loras) < _MOST_LORAS:
                weight = number_of(strength) if not isinstance(strength, list) else 1
                reading.loras.append(_named(resolved, weight=1 if weight is None else weight))
        for key in ("ckpt_name", "unet_name", "base_ckpt_name"):
            if key in inputs and not reading.model:
                reading.model = _named(graph.air_or_name(each, key))
        if "stop_at_clip_layer" in inputs:
            _read_clip_skip(reading, inputs["stop_at_clip_layer"])
    reading.loras.reverse()  # the graph was walked from its end
    for each in graph.reached(id):
        inputs = graph.inputs(each)
        if "stop_at_clip_layer" in inputs:
            _read_clip_skip(reading, inputs["stop_at_clip_layer"])
        if "control_net_name" in inputs and "control net" not in reading.not_carried:
            reading.controlnets.append(
                {"model": text_of(inputs["control_net_name"])[:LONGEST_NAME]}
            )
    vae = graph.vae(id)
    reading.vae = _named(vae) if vae else reading.vae


def _read_clip_skip(reading: Reading, value: Any) -> None:
    layer = whole_of(value)
    if layer is not None and layer < 0:
        reading.clip_skip = -layer


def _loras(inputs: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """(input that names it, strength) of each LoRA that one node loads."""
    if "lora_name" in inputs:
        yield "lora_name", inputs.get("strength_model", inputs.get("strength", 1))
    for key, value in list(inputs.items())[:400]:
        if isinstance(value, Mapping) and value.get("on") is True and "lora" in value:
            yield key, value.get("strength", 1)  # rgthree's Power Lora Loader
        elif (found := re.fullmatch(r"lora_(?:name_?)?0?(\d{1,2})", str(key))) is not None:
            n, switch = found[1], inputs.get(f"switch_{found[1]}", "On")
            weight = inputs.get(
                f"strength_{n}", inputs.get(f"model_weight_{n}", inputs.get(f"lora_wt_{n}", 1))
            )
            if isinstance(value, str) and switch not in ("Off", False):
                yield key, weight


def _named(text: str | None, weight: float | None = None) -> Named:
    if text is not None and is_air(text) and "air:" in text[:8]:
        version = positive_of(Air.parse(text).version)
        return Named(air=text, version_id=version, weight=weight)
    return Named(name=text, weight=weight)


class _Graph:
    """The nodes, and the ways through them; no way is longer than any graph has."""

    def __init__(self, nodes: Mapping[str, Mapping[str, Any]]) -> None:
        self.nodes = nodes

    def inputs(self, id: str) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.nodes[id]["inputs"]
        return found

    def kind(self, id: str) -> str:
        return str(self.nodes[id]["class_type"])

    def link(self, value: Any) -> str | None:
        """The node that a link leads to."""
        if isinstance(value, list) and len(value) == 2 and isinstance(value[0], str | int):
            id = str(value[0])[:40]
            return id if id in self.nodes else None
        return None

    def target(self, id: str, *names: str) -> str | None:
        inputs = self.inputs(id)
        return next((t for n in names if (t := self.link(inputs.get(n))) is not None), None)

    def above(self, id: str) -> Iterator[str]:
        for value in list(self.inputs(id).values())[:400]:
            if (target := self.link(value)) is not None:
                yield target

    def reached(self, start: str) -> list[str]:
        """Every node above one, the nearest first."""
        seen, queue = {start}, [start]
        for id in queue:
            for other in self.above(id):
                if other not in seen:
                    seen.add(other)
                    queue.append(other)
        return queue

    def samplers(self) -> list[str]:
        """The sampler nodes that the saved picture comes from, the last one first; of a graph
        without such a node, all."""
        ends = [id for id in self.nodes if self.kind(id) in _SAVING]
        if not ends:
            ends = [id for id in self.nodes if "save" in self.kind(id).lower()]
        found = dict.fromkeys(
            id for end in ends[:20] for id in self.reached(end) if self._is_sampler(id)
        )
        return list(found) or [id for id in self.nodes if self._is_sampler(id)]

    def _is_sampler(self, id: str) -> bool:
        inputs = self.inputs(id)
        drawn = "latent_image" in inputs or "KSampler" in self.kind(id)
        return drawn and bool({"seed", "noise_seed", "noise"} & set(inputs))

    def is_from_nothing(self, sampler: str) -> bool:
        return self.latent(sampler) is not None

    def latent(self, sampler: str) -> str | None:
        """The empty latent that a sampler begins with."""
        id = self.target(sampler, "latent_image", "optional_latent")
        for _ in range(_DEEPEST):
            if id is None or "Sampler" in self.kind(id):
                return None
            if (
                "EmptyLatent" in self.kind(id)
                or ("Empty" in self.kind(id) and "Latent" in self.kind(id))
                or "empty_latent_width" in self.inputs(id)
            ):
                return id
            if "pixels" in self.inputs(id):
                return None
            id = self.target(id, "latent_image", "samples", "latent", "sdxl_tuple")
        return None

    def number(self, id: str | None, *names: str) -> Any:
        """A number of a node, also where it stands in another that the input leads to."""
        return self._follow(
            id, names, lambda value: number_of(value) if not isinstance(value, list) else None
        )

    def word(self, id: str, *names: str) -> str:
        """A word of a node, such as a sampler's name, in the same way."""
        found = self._follow(id, names, lambda value: value if isinstance(value, str) else None)
        return text_of(found)

    def _follow(self, id: str | None, names: tuple[str, ...], read: Any) -> Any:
        for _ in range(_DEEPEST):
            if id is None:
                return None
            inputs = self.inputs(id)
            for name in names:
                value = read(inputs.get(name))
                if value is not None:
                    return value
            following = self.target(id, *names)
            if following is None:
                return None
            id, names = following, (*names, *(n for n in _NUMBERS if n not in names))
        return None

    def upwards(self, start: str, kind: str) -> str | None:
        return next((id for id in self.reached(start) if self.kind(id) == kind), None)

    def text(self, id: str, name: str) -> str:
        """The words that an input leads to, through whatever passes them on."""
        seen: set[str] = set()
        value: Any = self.inputs(id).get(name)
        wanted = name
        for _ in range(_DEEPEST):
            target = self.link(value)
            if target is None:
                return text_of(value)[:100_000]
            if target in seen:
                return ""
            seen.add(target)
            inputs = self.inputs(target)
            if wanted in inputs and wanted in ("positive", "negative"):
                value = inputs[wanted]
                continue
            value = next(
                (inputs[n] for n in _TEXTS if isinstance(inputs.get(n), str | list) and inputs[n]),
                "",
            )
        return ""

    def chain(self, sampler: str) -> list[str]:
        """The nodes that the model comes through, from the sampler up to its loader."""
        found: list[str] = []
        queue = [sampler]
        for id in queue:
            if id in found or len(found) > 200:
                continue
            found.append(id)
            queue += [t for name in _THROUGH_MODEL if (t := self.target(id, name)) is not None]
        return found

    def air_or_name(self, id: str, key: str) -> str | None:
        """What a loader's input names: a file, or an AIR that a selector node gives."""
        value = self.inputs(id).get(key)
        if isinstance(value, Mapping):
            value = value.get("lora")
        target = self.link(value)
        if target is None:
            text = text_of(value)
            return text if is_air(text) and "air:" in text[:8] else name_of(text)
        inputs = self.inputs(target)
        by_slot = _by_slot(inputs.get("resources_json"))
        slot = value[1] if isinstance(value, list) else 0
        air = text_of(by_slot.get(str(slot))) or text_of(inputs.get("air"))
        if len(air) <= LONGEST_NAME and is_air(air):
            return air
        named = (inputs[n] for n in ("ckpt_name", "unet_name", "lora_name", *_TEXTS) if n in inputs)
        return name_of(next(named, None))

    def vae(self, sampler: str) -> str | None:
        """A VAE of its own, which decodes what the sampler drew."""
        for id in self.nodes:
            if "vae_name" in self.inputs(id) and any(
                id == self.target(other, "vae") and sampler in self.reached(other)
                for other in self.nodes
                if "samples" in self.inputs(other)
            ):
                return self.air_or_name(id, "vae_name")
        return None


_SAVING = frozenset({"SaveImage", "PreviewImage", "SaveImageWebsocket", "SaveAnimatedWEBP"})


def _by_slot(text: Any) -> Mapping[str, Any]:
    try:
        found = decode(text) if isinstance(text, str) else {}
    except ValueError:
        return {}
    inner = found.get("bySlot") if isinstance(found, Mapping) else None
    return inner if isinstance(inner, Mapping) else {}
