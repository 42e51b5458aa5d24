"""The request bodies that the service's own pages show as working, said as requests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from civitai_skill.engines.planning.plan import plan
from civitai_skill.schema.request import ImageRequest

DIGEST = json.loads((Path(__file__).resolve().parent / "wire_digest.json").read_text("utf-8"))
K = {"width": 1024, "height": 1024}
SMALL = {"width": 512, "height": 512}
AS_WRITTEN = {"options": {"promptExtend": True}}
EXPANDED = {"options": {"enablePromptExpansion": True}}
LATEST = {"options": {"version": "latest"}}

# What each sample is in our words. Prompts, sources and LoRAs are taken from the sample itself; the
# pages' own defaults that ours differ from (klein's steps, say) are asked for.
REQUESTS: dict[tuple[str, str], dict[str, Any]] = {
    ("anima", "sdcppT2IBody"): {
        "engine": "anima", "route": "sdcpp", "steps": 30, "guidance": 4, **K,
    },
    ("anima", "sdcppLoraBody"): {
        "engine": "anima", "route": "sdcpp", "steps": 30, "guidance": 4, **K,
    },
    ("ernie", "standardBody"): {
        "engine": "ernie", "sampler": "euler", "scheduler": "simple", "quantity": 1, **K,
    },
    ("ernie", "turboBody"): {
        "engine": "ernie", "variant": "turbo", "sampler": "euler", "scheduler": "simple",
        "quantity": 1, **K,
    },
    ("flux1", "sdcppT2IBody"): {"engine": "flux1", "route": "sdcpp", **K},
    ("flux1", "sdcppVariantBody"): {"engine": "flux1", "route": "sdcpp", "strength": 0.7, **K},
    ("flux1", "comfyT2IBody"): {
        "engine": "flux1", "steps": 20, "guidance": 3.5, "sampler": "euler", "scheduler": "simple",
        "quantity": 1, **K,
    },
    ("flux1", "kontextEditBody"): {"engine": "flux1-kontext", "variant": "max", "quantity": 1},
    ("flux2", "kleinT2IBody"): {"steps": 20, "guidance": 5, **K},
    ("flux2", "kleinLoraBody"): {"steps": 20, "guidance": 5, **K},
    ("flux2", "kleinVariantBody"): {"steps": 20, "guidance": 5, "strength": 0.7, **K},
    ("flux2", "flexBody"): {"variant": "flex", "guidance": 3.5, "steps": 28, **K},
    ("flux2", "maxBody"): {"variant": "max", "width": 1536, "height": 1024},
    ("grok", "createBody"): {
        "engine": "grok", "variant": "v1.0", "aspect_ratio": "1:1", "quantity": 1,
    },
    ("grok", "editBody"): {"engine": "grok", "variant": "v1.0"},
    ("qwen", "sdcppT2IBody"): {"engine": "qwen", "guidance": 2.5, "steps": 20, **LATEST, **K},
    ("qwen", "sdcppLoraBody"): {"engine": "qwen", "guidance": 2.5, "steps": 20, **LATEST, **K},
    ("qwen", "sdcppEditBody"): {"engine": "qwen", **LATEST},
    ("qwen", "falProBody"): {
        "engine": "qwen", "variant": "2.0-pro", "route": "fal", "aspect_ratio": "16:9", **EXPANDED,
    },
    ("qwen", "qwenT2IBody"): {
        "engine": "qwen", "variant": "2.0", "width": 1328, "height": 1328, **AS_WRITTEN,
    },
    ("qwen", "qwenEditBody"): {"engine": "qwen", "variant": "edit-plus", **AS_WRITTEN},
    ("sd1", "sdcppT2IBody"): {
        "engine": "sd1", "guidance": 7, "steps": 20, "options": {"clipSkip": -1}, **SMALL,
    },
    ("sd1", "sdcppVariantBody"): {
        "engine": "sd1", "guidance": 7, "steps": 20, "strength": 0.7, **SMALL,
    },
    ("sdxl", "sdcppT2IBody"): {"engine": "sdxl", "guidance": 7, "steps": 25, **K},
    ("sdxl", "sdcppLoraBody"): {"engine": "sdxl", "guidance": 7, "steps": 25, **K},
    ("sdxl", "comfyT2IBody"): {
        "engine": "sdxl", "route": "comfy", "guidance": 7, "steps": 30, "sampler": "dpmpp_2m",
        "scheduler": "karras", **K,
    },
    ("seedream", "v4Body"): {
        "engine": "seedream", "variant": "v4", "guidance": 2.5, "quantity": 1, **K,
    },
    ("seedream", "v45HighResBody"): {
        "engine": "seedream", "guidance": 2.5, "width": 2048, "height": 2048,
    },
    ("zimage", "baseBody"): {
        "engine": "z-image", "variant": "base", "guidance": 4, "steps": 20, **K,
    },
    ("zimage", "baseLoraBody"): {
        "engine": "z-image", "variant": "base", "guidance": 4, "steps": 20, **K,
    },
    ("gemini", "createBody"): {"engine": "gemini", "quantity": 1},
    ("google", "nanoBanana2Body"): {
        "engine": "google", "variant": "nano-banana-2", "aspect_ratio": "1:1", "quantity": 1,
    },
    ("google", "nanoBanana2SearchBody"): {
        "engine": "google", "variant": "nano-banana-2", "aspect_ratio": "16:9", "grounding": True,
        "options": {"resolution": "2K"},
    },
    ("google", "nanoBananaProBody"): {
        "engine": "google", "variant": "nano-banana-pro", "quality": "high", "quantity": 1,
        "aspect_ratio": "21:9",
    },
    ("krea", "mediumBody"): {"engine": "krea2", "aspect_ratio": "1:1"},
    ("krea", "styleRefBody"): {"engine": "krea2", "aspect_ratio": "3:2"},
    ("mai-image", "basicBody"): {"engine": "mai", "aspect_ratio": "1:1"},
    ("mai-image", "batchBody"): {"engine": "mai", "aspect_ratio": "9:16", "quantity": 4},
    ("openai", "gpt2Body"): {"engine": "openai", "quality": "high", "quantity": 1, **K},
    ("openai", "gpt2MaskEditBody"): {"engine": "openai", "quality": "high"},
    ("openai", "gpt15EditBody"): {
        "engine": "openai", "variant": "gpt-image-1.5", "quality": "high", **K,
    },
    ("openai", "dalle3Body"): {
        "engine": "openai", "variant": "dall-e-3", "options": {"quality": "hd", "style": "vivid"},
        **K,
    },
    ("wan-image", "v22Body"): {
        "engine": "wan", "variant": "v2.2", "guidance": 3.5, "steps": 27, "aspect_ratio": "1:1",
        "quantity": 1,
    },
    ("wan-image", "v25Body"): {
        "engine": "wan", "variant": "v2.5", "guidance": 3.5, "aspect_ratio": "16:9",
    },
    ("wan-image", "v22FastBody"): {
        "engine": "wan", "variant": "v2.2", "guidance": 3.5, "steps": 27, "quality": "draft",
        "aspect_ratio": "1:1",
    },
    ("zimage", "turboBatchBody"): {
        "engine": "z-image", "quantity": 4, "guidance": 1, "steps": 9, **K,
    },
}  # fmt: skip


def _words(sample: dict[str, Any]) -> dict[str, Any]:
    """What is a sample's own: its prompts, source pictures and LoRAs."""
    words: dict[str, Any] = {"prompt": sample["prompt"]}
    if "negativePrompt" in sample:
        words["negative_prompt"] = sample["negativePrompt"]
    if "image" in sample:
        words["images"] = [sample["image"]]
    if "images" in sample:
        words["images"] = sample["images"]
    if "maskImage" in sample:
        words["mask"] = sample["maskImage"]
    if "imageStyleReferences" in sample:
        words["style_images"] = [
            {"image": style["imageUrl"], "strength": style["strength"]}
            for style in sample["imageStyleReferences"]
        ]
    if "loras" in sample:
        words["loras"] = [{"air": a, "strength": s} for a, s in sample["loras"].items()]
    return words


def _without_defaults(body: dict[str, Any]) -> dict[str, Any]:
    """A body without what the document says holds anyway."""

    def chosen(select: dict[str, str]) -> bool:
        return all(
            body.get(k, DEFAULT_BRANCH.get((body["engine"], k))) == v for k, v in select.items()
        )

    key = next(k for k in DIGEST["forms"] if chosen(dict(p.split("=") for p in k.split(" "))))
    facts = DIGEST["forms"][key]
    # An empty list, where the document requires one, is what leaving it out means.
    return {
        k: v
        for k, v in body.items()
        if v != [] and ("default" not in facts[k] or facts[k]["default"] != v)
    }


# The document: a grok body without a version is v1.0, a wan body without an operation draws.
DEFAULT_BRANCH = {("grok", "version"): "v1.0", ("wan", "operation"): "text-to-image"}


def test_every_sample_has_its_request(sample_bodies: list[Any]) -> None:
    assert {(s["page"], s["name"]) for s in sample_bodies} == set(REQUESTS)


@pytest.mark.parametrize(("page", "name"), REQUESTS)
def test_a_sample_body_is_reproduced_but_for_defaults_left_out(
    page: str, name: str, sample_bodies: list[Any]
) -> None:
    body = next(s["body"] for s in sample_bodies if (s["page"], s["name"]) == (page, name))
    (step,) = body["steps"]
    sample = step["input"]
    decided = plan(ImageRequest(**_words(sample), **REQUESTS[page, name], retired=True))
    sent = decided.form.sent()
    assert sent.pop("seed", None) == decided.seed
    assert _without_defaults(sent) == _without_defaults(sample)
