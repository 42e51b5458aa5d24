"""mediaRating: how mature the picture is, as the service itself sees it."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from civitai_skill.schema.types import Flag, Picture
from civitai_skill.steps.form import StepForm


class Rating(StepForm):
    """Schema MediaRatingInput. The document requires the flags, which ask for more than the level.

    Types of September list two more (includeAnimeBodyAgeClassification and
    includeJointAgeClassification); the published document refuses them.
    """

    kind = "mediaRating"
    gives = "output.nsfwLevel"
    does = "rates it: pg, pg13, r, x or xxx"
    charges = "1 Buzz"

    image: Picture | None = None
    include_age_classification: Flag
    include_face_recognition: Flag
    include_ai_recognition: Annotated[Flag, Field(alias="includeAIRecognition")]
    include_anime_recognition: Flag
    include_human_recognition: Flag
    include_body_age_classification: Flag

    @classmethod
    def level_only(cls, image: str) -> Rating:
        """Ask for the level and nothing else."""
        flags: Any = {name: False for name in cls.model_fields if name != "image"}
        return cls.model_validate(
            {"image": image, **{cls.alias(name): flag for name, flag in flags.items()}}
        )
