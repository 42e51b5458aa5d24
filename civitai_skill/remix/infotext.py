"""The grammar of A1111's text, which most programs write: prompt lines, `Negative prompt:` lines,
and one line of `Key: value` pairs.

Values are bare, JSON strings, or whole JSON; equal keys keep the first. Text that lost its line
breaks on the way (exiftool puts dots in their place, pages nothing) is split before the first
`Steps: N, <a known key>`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from civitai_skill.remix.values import decode_at, text_of

_MOST_PAIRS, _MOST_ENTRIES, _LONGEST_KEY = 500, 60, 100

_LEADING = re.compile(r"\s{0,9}parameters\s{0,60}:\s{0,9}", re.IGNORECASE)
#: How a line of settings begins; SD.Next begins with any of them.
_FIRST = re.compile(r"\s{0,9}(?:Steps|Size|Seed|Sampler|Pipeline|CFG scale|Model hash|Model): ?\S")
_KNOWN = (
    "Sampler|Schedule type|Scheduler|CFG scale|cfgScale|Seed|Size|Model|Model hash|Clip skip|width"
)
_JAMMED = re.compile(rf"(?:^|[.,\s])(Steps: ?[0-9]{{1,5}},\s{{0,9}}(?:{_KNOWN}):)")
_NEGATIVE = "Negative prompt:"
#: Lines of extensions behind the settings, which hold what the prompt was made from.
_TEMPLATE = re.compile(r"\s{0,9}(?:Negative )?Template:|\s{0,9}(?:Hashed |Wildcard )?(?:Negative )?"
                       r"prompt:|\s{0,9}Resources:", re.IGNORECASE)  # fmt: skip
#: What stands before a value; without a colon it is a key that is its own value.
_KEY = re.compile(rf"[, \t\n]*+(?:([^,:]{{0,{_LONGEST_KEY}}}+):[ \t]*+|[^,]*+)")
_STRING = re.compile(r'"(?:\\.|[^\\"])*"', re.DOTALL)


class Pairs(dict[str, Any]):
    """{key in lower case: text, or what JSON it was}"""

    def text(self, *keys: str) -> str:
        """The first text that there is under one of these keys; else it is empty."""
        found = (self[key] for key in keys if isinstance(self.get(key), str))
        return text_of(next(found, ""))

    def table(self, key: str) -> dict[str, str]:
        """A map of names to texts, from JSON or from `name: text, name: text`."""
        value = self.get(key)
        if isinstance(value, str):
            parts = (part.rpartition(":") for part in value.split(",")[:_MOST_ENTRIES])
            return {name.strip(): text.strip() for name, _, text in parts if name.strip()}
        if not isinstance(value, dict):
            return {}
        return {text_of(n): text_of(v) for n, v in list(value.items())[:_MOST_ENTRIES]}

    def listed(self, key: str) -> list[str]:
        """The texts between commas."""
        parts = (part.strip() for part in self.text(key).split(",")[:_MOST_ENTRIES])
        return [part for part in parts if part]


@dataclass(frozen=True)
class Infotext:
    """A text, split."""

    prompt: str
    negative: str
    pairs: Pairs


def split_infotext(text: str) -> Infotext | None:
    """Split a text; None where it holds no settings and no negative prompt."""
    text = text.replace("\r\n", "\n").replace("\r", "\n").strip().rstrip("\0").rstrip()
    leading = _LEADING.match(text)
    text = text[leading.end() :] if leading else text
    lines = text.split("\n")
    at = _find_settings(lines)
    if at is not None:
        settings = lines[at]
        for line in lines[at + 1 :]:  # what a page has wrapped
            if _TEMPLATE.match(line):
                break
            settings += " " + line
        prompt, negative = _split_negative("\n".join(lines[:at]))
        return Infotext(prompt, negative, read_pairs(settings))
    jammed = _JAMMED.search(text)
    if jammed is not None:
        prompt, negative = _split_negative(text[: jammed.start(1)])
        if text[jammed.start()] == "." or prompt.endswith("."):
            prompt, negative = prompt.rstrip(" .,"), negative.rstrip(" .,")
        return Infotext(prompt, negative, read_pairs(text[jammed.start(1) :].partition("\n")[0]))
    prompt, negative = _split_negative(text)
    return Infotext(prompt, negative, Pairs()) if negative else None


def _find_settings(lines: list[str]) -> int | None:
    """The last line that begins as settings do and holds three pairs or more."""
    for at in range(len(lines) - 1, -1, -1):
        if _FIRST.match(lines[at]) and len(read_pairs(lines[at])) >= 3:
            return at
    return None


def _split_negative(head: str) -> tuple[str, str]:
    """The prompt and the negative one, which begins a line, or follows a sentence."""
    at = 0 if head.lstrip().startswith(_NEGATIVE) else head.find("\n" + _NEGATIVE)
    if at < 0:
        at = max(head.rfind(mark + _NEGATIVE) for mark in (" ", ".", ","))
    if at < 0:
        return head.strip(), ""
    prompt, _, negative = head[:at], *head[at:].partition(_NEGATIVE)[1:]
    return prompt.strip(), negative.strip()


def read_pairs(text: str) -> Pairs:
    """The pairs of a line of settings."""
    found, at = Pairs(), 0
    for _ in range(_MOST_PAIRS):
        key = _KEY.match(text, at)
        if key is None or key.end() == len(text):
            break
        at = key.end()
        if key[1] is not None:
            value, at = _value(text, at)
            found.setdefault(key[1].strip().lower(), value)
    return found


def _value(text: str, at: int) -> tuple[Any, int]:
    if text[at : at + 1] in ("{", "["):
        try:
            return decode_at(text, at)
        except ValueError:
            pass
    elif text[at : at + 1] == '"' and (quoted := _STRING.match(text, at)) is not None:
        try:
            return text_of(decode_at(text, at)[0]), quoted.end()
        except ValueError:  # written by hand: a backslash, a line break
            return quoted[0][1:-1], quoted.end()
    comma = text.find(",", at)
    comma = len(text) if comma < 0 else comma
    return text[at:comma].strip(), comma
