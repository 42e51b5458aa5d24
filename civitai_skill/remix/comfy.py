"""ComfyUI's graph in its API format: `{id: {class_type, inputs}}`, a link is `[id, slot]`.

It is read from the node that makes the saved picture, upwards: what nobody reads is no part of it.
Names are file names, never hashes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from civitai_skill.remix.civitai import add_metadata
from civitai_skill.remix.reading import Named, Reading, read_sampling
from civitai_skill.remix.values import (
    LONGEST_NAME,
    layer_of,
    name_of,
    number_of,
    object_of,
    partial_of,
    positive_of,
    text_of,
    weight_of,
    whole_of,
)
from civitai_skill.schema.air import Air, is_air

_DEEPEST, _MOST_NODES, _MOST_INPUTS, _MOST_LORAS = 20, 5_000, 400, 60

#: Names of an input that leads on to a text, or is one.
_TEXTS = (
    "text", "populated_text", "string", "value", "Value", "prompt", "Text", "text_g", "text_l",
    "clip_l", "t5xxl", "positive", "wildcard_text", "conditioning", "conditioning_1", "text1",
    "text_a", "result",
)  # fmt: skip
_NUMBERS = ("value", "Value", "seed", "noise_seed", "int", "float", "number")
_CHECKPOINTS = ("ckpt_name", "unet_name", "base_ckpt_name")
_THROUGH_MODEL = ("model", "unet", "guider", "lora_stack", "optional_lora_stack")
_SAVING = frozenset({"SaveImage", "PreviewImage", "SaveImageWebsocket", "SaveAnimatedWEBP"})


def read_graph(data: Mapping[str, Any]) -> Reading | None:
    """The request that a graph is, also where it stands under `prompt`; None where it is none.

    Of several passes it is the first, which draws from nothing.
    """
    for candidate in (data, object_of(data.get("prompt"))):
        nodes = _nodes(candidate) if candidate is not None else {}
        if nodes:
            reading = _read(_Graph(nodes))
            beside = object_of(data.get("extraMetadata"))  # of Civitai's own
            if beside is not None:
                add_metadata(reading, beside)
            return reading
    return None


def _nodes(graph: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    return {
        str(id): node
        for id, node in (graph.items() if len(graph) <= _MOST_NODES else ())
        if isinstance(node, Mapping)
        and isinstance(node.get("class_type"), str)
        and isinstance(node.get("inputs"), Mapping)
    }


def _read(graph: _Graph) -> Reading:
    reading = Reading(dialect="comfyui")
    samplers = graph.samplers()
    if not samplers:
        return reading
    first = next((id for id in samplers if graph.latent(id) is not None), samplers[0])
    _read_sampler(graph, first, reading)
    later = [id for id in samplers if id != first]
    if later:
        denoise = graph.number(later[0], "denoise")
        reading.hires = {} if denoise is None else {"denoise": denoise}
        reading.not_carried.append("a second sampler pass")
    return reading


def _read_sampler(graph: _Graph, id: str, reading: Reading) -> None:
    reading.seed = whole_of(graph.number(id, "seed", "noise_seed", "noise"))
    reading.steps = positive_of(graph.number(id, "steps", "sigmas"))
    reading.guidance = graph.number(id, "cfg", "guider")
    schedule = graph.word(id, "scheduler", "sigmas")
    reading.sampling = read_sampling(graph.word(id, "sampler_name", "sampler"), schedule)
    above = graph.reached(id)
    distilled = next((each for each in above if graph.kinds[each] == "FluxGuidance"), None)
    reading.distilled_guidance = graph.number(distilled, "guidance")
    guider = graph.target(id, "guider") or id
    reading.prompt = graph.text(guider, "positive") or graph.text(guider, "conditioning")
    reading.negative_prompt = graph.text(guider, "negative")
    latent = graph.latent(id)
    if latent is not None:
        reading.width = positive_of(graph.number(latent, "width", "empty_latent_width"))
        reading.height = positive_of(graph.number(latent, "height", "empty_latent_height"))
    else:
        reading.denoise = partial_of(graph.number(id, "denoise", "sigmas"))
        reading.needs_source_image = reading.denoise is not None
    _read_models(graph, id, above, reading)


def _read_models(graph: _Graph, id: str, above: list[str], reading: Reading) -> None:
    chain = graph.chain(id)
    for each in chain:
        inputs = graph.inputs[each]
        for name, strength in _loras(inputs):
            found = graph.model(each, name)
            if found and strength and len(reading.loras) < _MOST_LORAS:
                reading.loras.append(replace(found, weight=weight_of(strength)))
        for key in _CHECKPOINTS:
            if key in inputs and not reading.model:
                reading.model = graph.model(each, key)
    reading.loras.reverse()  # the graph was walked from its end
    for each in (*chain, *above):
        inputs = graph.inputs[each]
        reading.clip_skip = layer_of(inputs.get("stop_at_clip_layer")) or reading.clip_skip
    nets = (graph.inputs[each].get("control_net_name") for each in above)
    reading.controlnets = [
        {"model": text_of(net)[:LONGEST_NAME]} for net in nets if net is not None
    ]
    for each, inputs in graph.inputs.items():
        vae = graph.target(each, "vae") if "samples" in inputs and not reading.vae else None
        if vae is not None and "vae_name" in graph.inputs[vae] and id in graph.reached(each):
            reading.vae = graph.model(vae, "vae_name")


def _loras(inputs: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """(input that names it, strength) of each LoRA that one node loads."""
    if "lora_name" in inputs:
        yield "lora_name", inputs.get("strength_model", inputs.get("strength", 1))
    for key, value in list(inputs.items())[:_MOST_INPUTS]:
        if isinstance(value, Mapping) and value.get("on") is True and "lora" in value:
            yield key, value.get("strength", 1)  # rgthree's Power Lora Loader
        elif (found := re.fullmatch(r"lora_(?:name_?)?0?(\d{1,2})", str(key))) is not None:
            n, weights = found[1], ("strength_{}", "model_weight_{}", "lora_wt_{}")
            weight = next((inputs[k] for w in weights if (k := w.format(n)) in inputs), 1)
            if isinstance(value, str) and inputs.get(f"switch_{n}") not in ("Off", False):
                yield key, weight


def _named(text: str, name: str | None) -> Named:
    """A model by its whole AIR, else by a name."""
    if "air:" in text[:8] and is_air(text):
        return Named(air=text, version_id=positive_of(Air.parse(text).version))
    return Named(name)


class _Graph:
    """The nodes, and the ways through them; no way is longer than any graph has."""

    def __init__(self, nodes: Mapping[str, Mapping[str, Any]]) -> None:
        self.kinds: dict[str, str] = {id: node["class_type"] for id, node in nodes.items()}
        self.inputs: dict[str, Mapping[str, Any]] = {id: n["inputs"] for id, n in nodes.items()}

    def link(self, value: Any) -> str | None:
        """The node that a link leads to."""
        if isinstance(value, list) and len(value) == 2 and isinstance(value[0], str | int):
            id = str(value[0])[:40]
            return id if id in self.inputs else None
        return None

    def target(self, id: str, *names: str) -> str | None:
        """The node that the first of these inputs leads to."""
        links = (self.link(self.inputs[id].get(name)) for name in names)
        return next((link for link in links if link is not None), None)

    def reached(self, start: str) -> list[str]:
        """A node and every one above it, the nearest first."""
        seen, queue = {start}, [start]
        for id in queue:
            for value in list(self.inputs[id].values())[:_MOST_INPUTS]:
                other = self.link(value)
                if other is not None and other not in seen:
                    seen.add(other)
                    queue.append(other)
        return queue

    def samplers(self) -> list[str]:
        """The sampler nodes that the saved picture comes from, the last one first; of a graph
        without such a node, all."""
        drawing = [
            id
            for id, inputs in self.inputs.items()
            if ("latent_image" in inputs or "KSampler" in self.kinds[id])
            and not inputs.keys().isdisjoint(("seed", "noise_seed", "noise"))
        ]
        ends = [id for id, kind in self.kinds.items() if kind in _SAVING]
        ends = ends or [id for id, kind in self.kinds.items() if "save" in kind.lower()]
        reached = dict.fromkeys(id for end in ends[:20] for id in self.reached(end))
        return [id for id in reached if id in drawing] or drawing

    def latent(self, sampler: str) -> str | None:
        """The empty latent that a sampler begins with."""
        id = self.target(sampler, "latent_image", "optional_latent")
        for _ in range(_DEEPEST):
            if id is None or "Sampler" in self.kinds[id]:
                return None
            is_empty = "Empty" in self.kinds[id] and "Latent" in self.kinds[id]
            if is_empty or "empty_latent_width" in self.inputs[id]:
                return id
            if "pixels" in self.inputs[id]:
                return None
            id = self.target(id, "latent_image", "samples", "latent", "sdxl_tuple")
        return None

    def number(self, id: str | None, *names: str) -> float | None:
        """A number of a node, also where it stands in another that the input leads to."""
        found: float | None = self._follow(id, names, number_of)
        return found

    def word(self, id: str, *names: str) -> str:
        """A word of a node, such as a sampler's name, in the same way."""
        found = self._follow(id, names, lambda value: value if isinstance(value, str) else None)
        return text_of(found)

    def _follow(self, id: str | None, names: tuple[str, ...], read: Callable[[Any], Any]) -> Any:
        for _ in range(_DEEPEST):
            if id is None:
                return None
            values = (read(self.inputs[id].get(name)) for name in names)
            found = next((value for value in values if value is not None), None)
            if found is not None:
                return found
            id, names = self.target(id, *names), tuple(dict.fromkeys((*names, *_NUMBERS)))
        return None

    def text(self, id: str, name: str) -> str:
        """The words that an input leads to, through whatever passes them on."""
        seen: set[str] = set()
        value: Any = self.inputs[id].get(name)
        for _ in range(_DEEPEST):
            target = self.link(value)
            if target is None:
                return text_of(value)[:100_000]
            if target in seen:
                return ""
            seen.add(target)
            inputs = self.inputs[target]
            if name in inputs and name in ("positive", "negative"):
                value = inputs[name]
                continue
            words = (inputs[n] for n in _TEXTS if isinstance(inputs.get(n), str | list))
            value = next((word for word in words if word), "")
        return ""

    def chain(self, sampler: str) -> list[str]:
        """The nodes that the model comes through, from the sampler up to its loader."""
        found: dict[str, None] = {}
        queue = [sampler]
        for id in queue:
            if id not in found and len(found) <= 200:
                found[id] = None
                queue += [t for name in _THROUGH_MODEL if (t := self.target(id, name)) is not None]
        return list(found)

    def model(self, id: str, key: str) -> Named:
        """What a loader's input names: a file, or an AIR that a selector node gives."""
        value = self.inputs[id].get(key)
        if isinstance(value, Mapping):
            value = value.get("lora")
        target = self.link(value)
        if target is None:
            return _named(text_of(value), name_of(value))
        inputs = self.inputs[target]
        by_slot = object_of((object_of(inputs.get("resources_json")) or {}).get("bySlot")) or {}
        slot = str(value[1]) if isinstance(value, list) else ""
        air = text_of(by_slot.get(slot)) or text_of(inputs.get("air"))
        if len(air) <= LONGEST_NAME and is_air(air):
            return _named(air, air)
        named = (inputs[n] for n in ("ckpt_name", "unet_name", "lora_name", *_TEXTS) if n in inputs)
        return Named(name_of(next(named, None)))
