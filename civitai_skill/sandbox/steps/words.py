"""What the steps that look at a picture say of it: made up from what the sandbox knows, plausible,
and the same each time.

Of its own pictures it knows the prompt and what `pictures/render.py` draws; of others the size.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import Any

from civitai_skill.sandbox.steps import sources
from civitai_skill.sandbox.steps.sources import Lookup, Size
from civitai_skill.sandbox.wire import Record
from civitai_skill.steps.form import StepForm
from civitai_skill.steps.media_captioning import Captioning
from civitai_skill.steps.media_rating import Rating
from civitai_skill.steps.prompt_enhancement import Enhancement
from civitai_skill.steps.wd_tagging import Tagging

_ENHANCED = "{prompt} Soft directional light, clear composition, natural colours, fine detail."

_LANDSCAPE = (
    "A stylised landscape: mountain ridges in layers, dark spruces in front, a low sun in a clear "
    "sky. A panel at the bottom reads “{}”."
)

#: What every picture that the sandbox draws shows, in the words of a tagger.
_SCENE = ("landscape", "scenery", "mountain", "no_humans", "outdoors", "sky", "sun", "tree", "text")

#: Scores below it are left out where no threshold is named.
_THRESHOLD = 0.35

_LONGEST_WORD = 40
_EMPTY_WORDS = frozenset({"and", "for", "from", "into", "its", "the", "with"})


@dataclass(frozen=True)
class Subject:
    """A picture as far as it is known; no `prompt` where it is not the sandbox's own."""

    size: Size | None
    prompt: str | None
    level: str

    @classmethod
    def of(cls, text: str, lookup: Lookup) -> Subject:
        """The picture that an address or a data URL names, whatever was done to it since."""
        level, size, prompt = "pg", sources.size_of(text, lookup), None
        id = sources.blob_id(text)
        while id is not None and (record := lookup(id)) is not None:
            recipe = record.get("recipe", {})
            level = "x" if "x" in (level, record["level"]) else level
            prompt = recipe.get("prompt")
            id = None if prompt is not None else sources.blob_id(recipe.get("source", ""))
        return cls(size, prompt, level)

    @property
    def shape(self) -> str:
        width, height = self.size or (1, 1)
        return "wide" if width > height else "tall" if height > width else "square"

    def describe(self) -> str:
        if self.prompt is not None:
            return _LANDSCAPE.format(" ".join(self.prompt.split()))
        if self.size is None:
            return "A picture on another host, which the sandbox does not fetch."
        return f"A {self.shape} picture of {self.size[0]} by {self.size[1]} pixels."

    def scores(self) -> dict[str, float]:
        """Words of a tagger, the surest first; each falls by steps that depend on the word."""
        found = ["no_humans"]
        if self.prompt is not None:
            words = re.findall(r"[^\W\d_]{3,}", self.prompt.lower())
            shown = (w for w in words if w not in _EMPTY_WORDS and len(w) <= _LONGEST_WORD)
            found = [*_SCENE, *shown]
        if self.size is not None:
            found += [f"{self.shape}_image", *(["highres"] if max(self.size) > 1600 else [])]
        scores = {}
        for place, tag in enumerate(dict.fromkeys(found)):
            jitter = hashlib.sha256(tag.encode(errors="replace")).digest()[0] / 255
            scores[tag] = round(max(0.05, 0.99 - 0.03 * place - 0.02 * jitter), 4)
        return scores


def answer(form: StepForm, pictures: list[str], lookup: Lookup) -> Record | None:
    """The output of a step that gives words; None for one that gives a picture."""
    subject = Subject.of(pictures[0] if pictures else "", lookup)
    if isinstance(form, Enhancement):
        negative = {"enhancedNegativePrompt": form.negative_prompt} if form.negative_prompt else {}
        prompt = _ENHANCED.format(prompt=form.prompt.rstrip(". ") + ".")
        advice = ["Name the light, the place and the style."]
        return {"issues": [], "recommendations": advice, "enhancedPrompt": prompt, **negative}
    if isinstance(form, Captioning):
        return {"caption": _caption(form, subject)}
    if isinstance(form, Tagging):
        least = _THRESHOLD if form.threshold is None else form.threshold
        sure = 0.97 if subject.level == "pg" else 0.04
        unsure = {"sensitive": 0.02, "questionable": 0.01, "explicit": round(1 - sure, 4)}
        tags = {tag: score for tag, score in subject.scores().items() if score >= least}
        return {"tags": tags, "rating": {"general": sure, **unsure}}
    if isinstance(form, Rating):
        labels = [] if subject.prompt is None else ["Landscape", "Text"]
        return {"nsfwLevel": subject.level, "isBlocked": False, "labels": labels}
    return None


def _caption(form: Captioning, subject: Subject) -> str:
    text = subject.describe()
    if form.model == "joy-caption":
        return " ".join(text.split()[: max(1, form.max_new_tokens)])
    parts: list[Any] = [{"type": "obj", "desc": "mountain ridges", "bbox": [450, 0, 1000, 1000]}]
    if subject.prompt is not None:
        parts.append({"type": "text", "text": subject.prompt, "bbox": [780, 20, 980, 980]})
    layout = {"background": "a clear sky", "elements": parts}
    caption = {"high_level_description": text, "compositional_deconstruction": layout}
    return json.dumps(caption, ensure_ascii=False)
