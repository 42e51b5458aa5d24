"""Prompt syntax of other programs: found in a prompt, taken out, or put in an engine's own way.

What a backend makes of it is said by its forms (`Wire.prompt_syntax`). Every expression here is
bounded and none repeats a repetition, because prompts come from strangers.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

#: What a form does with weights: A1111's own rules; ComfyUI's, which know no square brackets;
#: parentheses are eaten and weights applied to a model that was not made for them; plain words.
Syntax = Literal["weights", "comfy", "parsed", "words"]

# -- LoRA tags -------------------------------------------------------------------------------------
_TAG = re.compile(
    r"<(lora|lyco|lycoris|locon|loha|lokr|dora|hypernet):([^<>\n]{1,500})>", re.IGNORECASE
)
_WEIGHT = re.compile(r"[+-]?(?:[0-9]{1,6}(?:\.[0-9]{0,12})?|\.[0-9]{1,12})")


@dataclass(frozen=True)
class LoraTag:
    """One `<lora:name:weight>`: the file's name and the weight for the image model. `block` says
    that weights for single layers stand in it, which no map of AIRs can hold."""

    text: str
    kind: str
    name: str
    weight: float
    block: bool = False


@dataclass(frozen=True)
class LoraTags:
    """The tags of a prompt, and the prompt without them."""

    plain: str
    tags: tuple[LoraTag, ...]


def read_lora_tags(prompt: str) -> LoraTags:
    """Take the tags out, each with the comma that goes with it."""
    parts = _TAG.split(prompt)
    if len(parts) == 1:
        return LoraTags(prompt, ())
    tags = [
        _read_tag(kind.lower(), inner) for kind, inner in zip(parts[1::3], parts[2::3], strict=True)
    ]
    left = parts[0]
    for right in parts[3::3]:
        left = _join(left, right)
    return LoraTags(left.strip(" \t\r\n,"), tuple(tags))


def _read_tag(kind: str, inner: str) -> LoraTag:
    name, *rest = (part.strip() for part in inner.split(":"))
    given: dict[str, float] = {}
    places, block = iter(("te", "unet", "dyn")), False
    for part in rest:
        key, equals, value = part.partition("=")
        key = key.lower() if equals else next(places, "")
        value = value if equals else part
        if _WEIGHT.fullmatch(value):
            given.setdefault(key, float(value))
        else:
            block = block or bool(value)
    weight = given.get("unet", given.get("te", 1.0))
    return LoraTag(f"<{kind}:{inner}>", kind, name, weight, block)


def _join(left: str, right: str) -> str:
    """What stood around a tag: one comma, one blank."""
    bare, tail = left.rstrip(" \t"), right.lstrip(" \t")
    if not bare or bare[-1] in ",\n":
        if tail[:1] == ",":
            right = tail[1:]
            return bare + right
        return bare + (right if tail[:1] != "\n" and bare[-1:] == "," else tail)
    if tail[:1] in (",", "\n", ""):
        return bare + tail
    return bare + (" " if bare != left or tail != right else "") + tail


# -- what is not of here ---------------------------------------------------------------------------
Kind = Literal[
    "lora", "settings", "flags", "choice", "wildcard", "schedule", "and", "break", "weight"
]


@dataclass(frozen=True)
class Foreign:
    """A piece of another program's syntax: what it is, and the piece itself."""

    kind: Kind
    text: str


_QUOTED = re.compile(r'"[^"\n]{0,200}"|“[^”\n]{0,200}”')
_SETTINGS = re.compile(
    r"(?:^|[\n.,]|\s)(Steps: ?[0-9]{1,5}, {0,3}(?:Sampler|Schedule type|CFG scale|Size|Seed|Model)"
    r"\b[^\n]{0,60})|^(Negative prompt:[^\n]{0,60})",
    re.MULTILINE,
)
_FLAG = re.compile(
    r"(?:^|\s)(--(?:ar|aspect|no|v|version|s|stylize|c|chaos|q|quality|niji|seed|sref|cref|oref|iw"
    r"|tile|style|weird|raw|stop|repeat|r|fast|turbo|hd)\b(?: {1,3}(?!--)[^\s,]{1,200})?)"
)
_BRACES = re.compile(r"\{([^{}\n]{0,400})\}")
_SQUARE = re.compile(r"\[([^\[\]\n]{0,400})\]")
_ROUND = re.compile(r"(?<!\\)\(([^()\n]{1,400})\)")
_WILDCARD = re.compile(r"(?<![\w_])__[A-Za-z0-9][\w /*.-]{0,120}?__(?![\w_])")
_AND = re.compile(r"\sAND\s")
_BREAK = re.compile(r"\bBREAK\b")


def _ends_in_number(inner: str) -> bool:
    before, colon, number = inner.rpartition(":")
    return bool(before and colon) and _WEIGHT.fullmatch(number.strip()) is not None


#: Each kind, how it is found, and what must hold of the inside of a place for it to be one.
_ALL: tuple[tuple[Kind, re.Pattern[str], Callable[[str], bool]], ...] = (
    ("lora", _TAG, bool),
    ("settings", _SETTINGS, bool),
    ("flags", _FLAG, bool),
    ("choice", _BRACES, lambda inner: "|" in inner),
    ("wildcard", _WILDCARD, bool),
    ("schedule", _SQUARE, lambda inner: "|" in inner or _ends_in_number(inner)),
    ("and", _AND, bool),
    ("break", _BREAK, bool),
    ("weight", _ROUND, _ends_in_number),
)


def find_foreign(prompt: str) -> Iterator[Foreign]:
    """Pieces of other programs' syntax, the first of each kind; what stands in double quotes is
    text to be read in the picture, and no syntax."""
    bare = _QUOTED.sub(lambda quoted: " " * len(quoted[0]), prompt)
    for kind, pattern, holds in _ALL:
        for found in pattern.finditer(bare):
            inner = next((group for group in found.groups() if group), found[0])
            if holds(inner):
                yield Foreign(kind, (inner if kind in ("settings", "flags") else found[0]).strip())
                break


# -- in an engine's own way ------------------------------------------------------------------------
_TOKEN = re.compile(
    r"\\[()\[\]]|[()\[\]]|\bBREAK\b|:\s{0,3}[+-]?[0-9]{0,3}\.?[0-9]{1,8}\s{0,3}(?=\))"
)
_DEEPEST = 50


def adapt_prompt(prompt: str, target: Syntax) -> tuple[str, tuple[str, ...]]:
    """A prompt that was written for A1111's parser, as a form of another kind takes it; and what
    was changed, in a few words each."""
    chosen = _SQUARE.sub(_first_of, prompt)
    told = [] if chosen == prompt else [_CHOSEN]
    if target == "weights":
        return chosen, tuple(told)
    adapted, notes = _rewrite(chosen, target)
    return adapted, (*told, *notes)


_CHOSEN = "words that change on the way ([a:b:0.5], [a|b]) became the first of them"
_BARE = "weights such as (word:1.2) became bare words"
_LESSENED = "[word] became (word:0.9)"
_PLAIN = "escaped brackets became plain ones"
_COMMA = "BREAK became a comma"


def _first_of(found: re.Match[str]) -> str:
    inner = found[1]
    if "|" in inner:
        return inner.partition("|")[0]
    return inner.partition(":")[0] if _ends_in_number(inner) else found[0]


def _rewrite(prompt: str, target: Syntax) -> tuple[str, list[str]]:
    out: list[str] = []
    opened: list[str] = []
    told: dict[str, None] = {}
    at, keeps = 0, target == "comfy"
    for found in _TOKEN.finditer(prompt):
        out.append(prompt[at : found.start()])
        at, token, note = found.end(), found[0], ""
        if token == "BREAK":
            token, note = ",", _COMMA
        elif token[0] == "\\" and not keeps:
            token, note = token[1], _PLAIN
        elif token in ("(", "[") and len(opened) < _DEEPEST:
            opened.append(token)
            note = _BARE if not keeps else _LESSENED if token == "[" else ""
            token = "(" if keeps else ""
        elif token in (")", "]") and opened and opened[-1] == _PARTNER[token]:
            opened.pop()
            token = "" if not keeps else ")" if token == ")" else ":0.9)"
        elif token[0] == ":" and opened and opened[-1] == "(" and not keeps:
            token = ""
        out.append(token)
        if note:
            told[note] = None
    text = "".join([*out, prompt[at:]])
    if _COMMA in told:
        text = ", ".join(part.strip(" \t") for part in text.split(",") if part.strip(" \t"))
    return text, list(told)


_PARTNER = {")": "(", "]": "["}
