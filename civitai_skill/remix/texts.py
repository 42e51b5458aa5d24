"""A text of any dialect, as a reading: JSON is tried first, and may be A1111's after all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from civitai_skill.errors import Problem, RequestInvalid
from civitai_skill.remix import comfy, fooocus, ruinedfooocus, settings, swarmui
from civitai_skill.remix.reading import Reading
from civitai_skill.remix.values import LONGEST, decode, text_of

#: What was looked for, in a refusal.
ACCEPTED = "generation data of A1111, Forge, SD.Next, Fooocus, SwarmUI, ComfyUI, sd.cpp or Civitai"
#: Programs whose data is known by sight and not read.
_OTHERS = (
    ("invokeai_metadata", "InvokeAI"),
    ("positive_conditioning", "InvokeAI"),
    ("request_type", "NovelAI"),
    ("uncond_per_vibe", "NovelAI"),
)


def read_any(text: str) -> Reading | None:
    """A text in any dialect; None where it is none of them. Raises RequestInvalid for a program
    that is known and not read, and for a text that is too long."""
    if len(text) > LONGEST:
        given, accepted = f"{len(text)} characters", f"at most {LONGEST}"
        raise RequestInvalid(Problem("source", given, accepted, None, "too long"))
    text = text_of(text).strip().strip("\0\ufeff").strip()
    if text[:1] == "{":
        try:
            data = decode(text)
        except ValueError:
            data = None  # `{red|blue} car` is a prompt
        if isinstance(data, Mapping):
            found = read_object(data)
            if found is not None:
                return found
    return settings.read_text(text)


def read_object(data: Mapping[str, Any]) -> Reading | None:
    """JSON of any dialect; None where it is none of them."""
    if swarmui.is_swarmui(data):
        return swarmui.read_swarmui(data)
    if ruinedfooocus.is_ruinedfooocus(data):
        return ruinedfooocus.read_ruinedfooocus(data)
    if fooocus.is_fooocus(data):
        return fooocus.read_fooocus(data)
    graph = comfy.find_graph(data)
    if graph is not None:
        return comfy.read_graph(graph)
    if comfy.is_canvas(data):
        raise refused_program("a ComfyUI workflow as its canvas saves it", _CANVAS)
    for key, program in _OTHERS:
        if key in data:
            raise refused_program(f"{program}'s metadata")
    return None


_CANVAS = "Save it in the API format, or give a picture that it made."


def refused_program(what: str, advice: str = "") -> RequestInvalid:
    """The refusal of data that is known by sight and not read."""
    advice = advice or "Give the prompt and its settings as text."
    return RequestInvalid(Problem("source", what, ACCEPTED, None, "is not read"), advice=advice)
