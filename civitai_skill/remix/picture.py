"""Generation data in a picture's file: the first text that can be read wins; a graph beside it says
what it does not name."""

from __future__ import annotations

from collections.abc import Mapping

from civitai_skill.errors import RequestInvalid
from civitai_skill.images.texts import read_texts
from civitai_skill.remix import comfy, texts
from civitai_skill.remix.reading import Reading
from civitai_skill.remix.values import decode

#: Names of texts, in the order in which they are believed.
_ORDER = (
    "parameters", "UserComment", "prompt", "workflow", "Model", "Make", "Comment", "comment",
    "invokeai_metadata", "sd-metadata", "generation_data", "Description",
)  # fmt: skip
#: WebP of ComfyUI: the graph in EXIF, with its name before it.
_PREFIXES = ("prompt:", "workflow:")


def read_picture(data: bytes) -> Reading | None:
    """The generation data of a picture; None where it has none.

    Raises Unreadable for what is no picture, RequestInvalid for data of a program that is known and
    not read.
    """
    found = sorted(
        ((_ORDER.index(name), name, text) for name, text in read_texts(data) if name in _ORDER),
        key=lambda each: each[0],
    )
    refusal: RequestInvalid | None = None
    for _, name, text in found:
        try:
            reading = _read(name, text)
        except RequestInvalid as error:
            refusal = refusal or error
            continue
        if reading is not None:
            return _completed(reading, [text for _, name, text in found if name == "prompt"])
    if refusal is not None:
        raise refusal
    return None


def _read(name: str, text: str) -> Reading | None:
    for prefix in _PREFIXES if name in ("Model", "Make") else ():
        text = text.removeprefix(prefix)
    if name == "Comment" and '"uc"' in text[:100_000]:
        raise texts.refused_program("NovelAI's metadata")
    if name in ("invokeai_metadata", "sd-metadata"):
        raise texts.refused_program("InvokeAI's metadata")
    return texts.read_any(text)


def _completed(reading: Reading, graphs: list[str]) -> Reading:
    """A saver node's text often names no model or LoRA: the graph beside it does."""
    if reading.model or reading.loras or not graphs:
        return reading
    try:
        data = decode(graphs[0])
    except ValueError:
        return reading
    nodes = comfy.find_graph(data) if isinstance(data, Mapping) else None
    if nodes is not None:
        drawn = comfy.read_graph(nodes)
        reading.model, reading.loras = drawn.model, drawn.loras
    return reading
