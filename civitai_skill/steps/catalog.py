"""The one list of steps, by the service's `$type`."""

from __future__ import annotations

from collections.abc import Mapping

from civitai_skill.steps.convert_image import Convert
from civitai_skill.steps.form import StepForm
from civitai_skill.steps.image_background_removal import BackgroundRemoval
from civitai_skill.steps.image_to_svg import TO_SVG, ToSvg
from civitai_skill.steps.image_upscaler import Upscaler
from civitai_skill.steps.media_captioning import Captioning
from civitai_skill.steps.media_rating import Rating
from civitai_skill.steps.prompt_enhancement import Enhancement
from civitai_skill.steps.wd_tagging import Tagging

#: imageToSvg has a form for each of its ecosystems; its line names what they share.
_FORMS = (Upscaler, BackgroundRemoval, Convert, ToSvg, Enhancement, Captioning, Tagging, Rating)
STEPS: Mapping[str, type[StepForm]] = {form.kind: form for form in _FORMS}


def form_of(kind: str, given: Mapping[str, object]) -> type[StepForm] | None:
    """The form that an input of a step has; None where there is no such step or ecosystem."""
    if kind == ToSvg.kind:
        return TO_SVG.get(str(given.get("ecosystem")))
    return STEPS.get(kind)
