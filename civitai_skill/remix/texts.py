"""A text of any dialect, as a reading, and the texts in a picture's file: the first that can be
read wins, and a graph beside it says what it does not name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from civitai_skill.errors import Problem, RequestInvalid
from civitai_skill.images.texts import read_texts
from civitai_skill.remix.comfy import read_graph
from civitai_skill.remix.programs import read_program
from civitai_skill.remix.reading import Reading
from civitai_skill.remix.settings import read_text
from civitai_skill.remix.values import LONGEST, object_of, text_of

#: What was looked for, in a refusal.
ACCEPTED = "generation data of A1111, Forge, SD.Next, Fooocus, SwarmUI, ComfyUI, sd.cpp or Civitai"
#: Programs whose data is known by sight and not read, by a key of it.
_OTHERS = {
    "invokeai_metadata": "InvokeAI",
    "positive_conditioning": "InvokeAI",
    "request_type": "NovelAI",
    "uncond_per_vibe": "NovelAI",
}
#: Names of a picture's texts, in the order in which they are believed.
_ORDER = (
    "parameters", "UserComment", "prompt", "workflow", "Model", "Make", "Comment", "comment",
    "invokeai_metadata", "sd-metadata", "generation_data", "Description",
)  # fmt: skip


def read_any(text: str) -> Reading | None:
    """A text in any dialect; None where it is none of them. JSON is tried first, and may be A1111's
    after all. Raises RequestInvalid for a program that is known and not read, and for a text that
    is too long."""
    if len(text) > LONGEST:
        given, accepted = f"{len(text)} characters", f"at most {LONGEST}"
        raise RequestInvalid(Problem("source", given, accepted, None, "too long"))
    text = text_of(text).strip("\0\ufeff").strip()
    data = object_of(text) if text[:1] == "{" else None  # `{red|blue} car` is a prompt
    found = None if data is None else read_object(data)
    return read_text(text) if found is None else found


def read_object(data: Mapping[str, Any]) -> Reading | None:
    """JSON of any dialect; None where it is none of them."""
    found = read_program(data) or read_graph(data)
    if found is not None:
        return found
    if isinstance(data.get("nodes"), list) and isinstance(data.get("links"), list):
        advice = "Save it in the API format, or give a picture that it made."
        raise _refused("a ComfyUI workflow as its canvas saves it", advice)
    for key, program in _OTHERS.items():
        if key in data:
            raise _refused(f"{program}'s metadata")
    return None


def _refused(
    what: str, advice: str = "Give the prompt and its settings as text."
) -> RequestInvalid:
    """The refusal of data that is known by sight and not read."""
    problem = Problem("source", what, ACCEPTED, None, "is not read")
    return RequestInvalid(problem, advice=advice)


def read_picture(data: bytes) -> Reading | None:
    """The generation data of a picture; None where it has none.

    Raises Unreadable for what is no picture, RequestInvalid for data of a program that is known and
    not read.
    """
    found = [(name, text) for name, text in read_texts(data) if name in _ORDER]
    refusal: RequestInvalid | None = None
    for name, text in sorted(found, key=lambda each: _ORDER.index(each[0])):
        try:
            reading = _read_named(name, text)
        except RequestInvalid as error:
            refusal = refusal or error
            continue
        if reading is not None:
            graph = object_of(dict(reversed(found)).get("prompt"))
            # A saver node's text often names no model or LoRA: the graph beside it does.
            drawn = read_graph(graph) if graph and not (reading.model or reading.loras) else None
            if drawn is not None:
                reading.model, reading.loras = drawn.model, drawn.loras
            return reading
    if refusal is not None:
        raise refusal
    return None


def _read_named(name: str, text: str) -> Reading | None:
    if name in ("Model", "Make"):  # WebP of ComfyUI: the graph in EXIF, with its name before it
        text = text.removeprefix("prompt:").removeprefix("workflow:")
    if name == "Comment" and '"uc"' in text[:100_000]:
        raise _refused("NovelAI's metadata")
    if name in ("invokeai_metadata", "sd-metadata"):
        raise _refused("InvokeAI's metadata")
    return read_any(text)
