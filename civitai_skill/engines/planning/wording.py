"""Other programs' syntax in a prompt: refused where it would surely be drawn as words, told where
the engine makes something else of it."""

from __future__ import annotations

import re

from civitai_skill.engines.forms import Wire
from civitai_skill.engines.planning.route import Candidate
from civitai_skill.engines.prompts import Foreign, find_foreign, read_lora_tags
from civitai_skill.errors import Problem, RequestInvalid
from civitai_skill.errors.next_steps import Remix

_FIELDS = ("prompt", "negative_prompt")
_IN_QUOTES = "In double quotes it is text to be read in the picture, and goes through."


def check_words(candidate: Candidate) -> list[str]:
    """Refuse what no engine reads, and tell what this form makes something else of. Raises
    RequestInvalid."""
    told = []
    for field in _FIELDS:
        text = getattr(candidate.request, field)
        for foreign in find_foreign(text) if text else ():
            problem = _problem(field, text, foreign)
            if problem is not None:
                pasted = foreign.kind == "settings"
                raise RequestInvalid(
                    problem,
                    engine=candidate.owner,
                    advice="" if pasted else _IN_QUOTES,
                    next=[Remix()] if pasted else (),
                )
            what = _effect(candidate.way.form, foreign)
            told += [f"{field}: {foreign.text[:80]!r} {what}."] if what else []
    return told


def _problem(field: str, text: str, found: Foreign) -> Problem | None:
    drawn = "no engine reads it, and it would be drawn as words"
    given = found.text[:200]
    if found.kind == "lora":
        tags = read_lora_tags(text)
        name, weight = tags.tags[0].name[:80], tags.tags[0].weight
        accepted = f"the prompt without it; the LoRA {name} goes in loras by its AIR, at {weight:g}"
        return Problem(field, given, accepted, tags.plain or None, drawn)
    if found.kind == "settings":
        accepted = "the words of the picture alone; its settings are fields of the request"
        return Problem(field, given, accepted, None, "these are another program's settings")
    if found.kind == "flags":
        plain, meant = _without_flags(text)
        accepted = "the words without it" + (f", and {meant}" if meant else "")
        return Problem(field, given, accepted, plain or None, f"this is Midjourney's; {drawn}")
    if found.kind == "choice":
        first = text.replace(found.text, found.text[1:-1].partition("|")[0], 1)
        return Problem(field, given, "one of them; a sweep makes each", first, drawn)
    if found.kind == "wildcard":
        accepted = "a word in its place; a sweep fills {name} from a file"
        return Problem(field, given, accepted, None, drawn)
    return None


# A flag's value goes on up to the next flag only for --no, which takes several words.
_FLAGS = re.compile(r"(?:^|\s)--([a-z]{1,10})(?:[ \t]{1,3}((?!--)[^\s]{1,200}))?")
_NO = re.compile(r"(?:^|\s)--no[ \t]{1,3}((?:(?!--).){1,200})")


def _without_flags(text: str) -> tuple[str, str]:
    """The words before the first flag, and the fields that the flags mean."""
    meant = []
    for flag, value in _FLAGS.findall(text)[:20]:
        if flag in ("ar", "aspect") and value:
            meant.append(f"aspect_ratio {value}")
        elif flag == "seed" and value:
            meant.append(f"seed {value}")
    unwanted = _NO.search(text)
    if unwanted is not None:
        meant.append(f"negative_prompt {unwanted[1].strip()}")
    first = _FLAGS.search(text)
    return ("" if first is None else text[: first.start()].strip()), ", ".join(meant)


def _effect(form: type[Wire], found: Foreign) -> str:
    """What becomes of it; empty where all is well."""
    syntax = form.prompt_syntax
    if found.kind == "schedule":
        return "is not read here: write one of the words alone"
    if found.kind == "and" and syntax in ("weights", "comfy"):
        return "joins nothing here: it is read as a word"
    if found.kind == "break" and syntax != "weights":
        return "parts nothing here: write a comma"
    if found.kind == "weight" and syntax == "words":
        return "is no weight to this engine: it reads the number and the brackets as words"
    if found.kind == "weight" and syntax == "parsed":
        return "weighs on a model that was not made for it: write the word alone"
    return ""
