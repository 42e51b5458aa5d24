"""Texts of each dialect, written for these tests: what is read of them, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from civitai_skill.errors import RequestInvalid
from civitai_skill.remix.reading import Reading
from civitai_skill.remix.texts import read_any


def read(text: str | dict[str, Any]) -> Reading:
    found = read_any(text if isinstance(text, str) else json.dumps(text))
    assert found is not None
    return found


def test_a1111_with_every_way_to_write_a_value() -> None:
    reading = read(
        "a mill by the river <lora:oil paint - v2:0.7:0.4>, mist\nsecond line\n"
        "Negative prompt: blur,\nnoise\n"
        "Steps: 22, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 5.5, Seed: 99, "
        'Size: 640x960, Model hash: 0123456789, Model: "mill, the 2nd", Clip skip: 2, '
        'Lora hashes: "oil paint - v2: aabbccddeeff", Note: "a \\"quoted\\" word, \\u00e9\\n", '
        'Extra: {"a": [1, {"b": "x, y: z"}]}, Version: v1.10.1\nTemplate: {mill|barn}'
    )
    assert reading.dialect == "a1111"
    assert reading.prompt_plain == "a mill by the river, mist\nsecond line"
    assert reading.negative_prompt == "blur,\nnoise"
    assert (reading.steps, reading.guidance, reading.seed, reading.clip_skip) == (22, 5.5, 99, 2)
    assert (reading.width, reading.height) == (640, 960)
    assert reading.model.as_dict() == {"name": "mill, the 2nd", "hash": "0123456789"}
    (lora,) = reading.loras
    # A map of AIRs holds one weight: the image model's.
    assert lora.as_dict() == {"name": "oil paint - v2", "weight": 0.4, "hash": "aabbccddeeff"}


def test_text_that_lost_its_lines_and_a_copy_of_a_page() -> None:
    jammed = read(
        "parameters : a barn, steps: 1 2 3.Negative prompt: fog.Steps: 9, Sampler: Euler, Seed: 4"
    )
    assert (jammed.prompt, jammed.negative_prompt, jammed.steps) == (
        "a barn, steps: 1 2 3", "fog", 9,
    )  # fmt: skip
    copied = read(
        "a barn\nNegative prompt: fog\nSteps: 25, cfgScale: 4.5, sampler: Euler a, seed: 12, "
        "width: 832, height: 1216, clipSkip: 2, baseModel: Illustrious, draft: false"
    )
    assert copied.dialect == "civitai"
    assert (copied.guidance, copied.width, copied.height, copied.clip_skip) == (4.5, 832, 1216, 2)
    assert (copied.sampling.sampler, copied.base_model) == ("Euler a", "Illustrious")
    assert not copied.model


def test_hires_alone_is_a_second_pass_and_denoising_alone_needs_a_source() -> None:
    settings = "a barn\nSteps: 20, Sampler: Euler, Seed: 1, Size: 512x512, Denoising strength: 0.5"
    second = read(settings + ", Hires upscale: 1.5, Hires upscaler: Latent, RNG: CPU")
    assert second.hires == {"scale": 1.5, "upscaler": "Latent", "denoise": 0.5}
    assert second.not_carried == ["RNG"]
    assert not second.needs_source_image
    source = read(settings)
    assert (source.denoise, source.needs_source_image) == (0.5, True)


def test_controlnet_in_both_of_its_forms() -> None:
    reading = read(
        "a dancer\nSteps: 20, Sampler: Euler, Seed: 1, ControlNet 0: "
        '"preprocessor: canny, model: edges [0a1b], weight: 0.8, starting/ending: (0.1, 0.9)", '
        'ControlNet 1: "Module: depth_midas, Model: deep, Weight: 1, Guidance Start: 0, '
        'Guidance End: 0.5"'
    )
    assert reading.controlnets == [
        {"preprocessor": "canny", "model": "edges [0a1b]", "weight": 0.8, "start": 0.1, "end": 0.9},
        {"preprocessor": "depth_midas", "model": "deep", "weight": 1, "start": 0, "end": 0.5},
    ]


def test_fooocus_swarmui_and_ruinedfooocus_as_json() -> None:
    fooocus = read(
        {
            "full_prompt": ["a boat", "sharp"], "full_negative_prompt": ["fog"], "prompt": "a boat",
            "performance": "Speed", "steps": 30, "seed": "9007199254740993", "sampler": "euler",
            "scheduler": "karras", "guidance_scale": 4, "resolution": "(896, 1152)",
            "base_model": "boats.safetensors", "base_model_hash": "00aa11bb22",
            "refiner_model": "None", "vae": "Default (model)", "sharpness": 2,
            "loras": [["sails.safetensors", 0.5, "abcdef0123"]],
        }
    )  # fmt: skip
    assert (fooocus.prompt, fooocus.negative_prompt, fooocus.raw_prompt) == (
        "a boat, sharp", "fog", "a boat",
    )  # fmt: skip
    assert (fooocus.seed, fooocus.width, fooocus.height) == (9007199254740993, 896, 1152)
    assert fooocus.loras[0].as_dict() == {"name": "sails", "weight": 0.5, "hash": "abcdef0123"}
    assert not fooocus.vae
    assert fooocus.not_carried == ["Sharpness"]
    swarm = read(
        {
            "sui_image_params": {
                "prompt": "a kite", "negativeprompt": "rain", "steps": "20", "cfgscale": 6,
                "seed": 5, "width": 1024, "height": 768, "model": "OfficialStableDiffusion/kites",
                "sampler": "dpmpp_2m", "scheduler": "karras", "loras": "tail,string",
                "loraweights": '["0.5", "0.75"]', "clipstopatlayer": -2,
            },
            "sui_models": [{"name": "tail.safetensors", "hash": "0xABCDEF0123456"}],
        }
    )  # fmt: skip
    assert (swarm.dialect, swarm.steps, swarm.clip_skip) == ("swarmui", 20, 2)
    assert [lora.as_dict() for lora in swarm.loras] == [
        {"name": "tail", "weight": 0.5, "hash": "ABCDEF012345"},
        {"name": "string", "weight": 0.75},
    ]
    assert (swarm.sampling.sampler, swarm.sampling.schedule) == ("DPM++ 2M", "Karras")
    ruined = read(
        {
            "software": "RuinedFooocus", "Prompt": "a kite", "Negative": "", "steps": 30, "cfg": 7,
            "width": 512, "height": 512, "seed": 3, "sampler_name": "euler", "scheduler": "simple",
            "base_model_name": "kites.safetensors", "base_model_hash": "aabbccddee",
            "loras": [["0011223344", "0.8 - folder\\tail.safetensors"]],
        }
    )  # fmt: skip
    assert ruined.model.as_dict() == {"name": "kites", "hash": "aabbccddee"}
    assert ruined.loras[0].as_dict() == {"name": "tail", "weight": 0.8, "hash": "0011223344"}


def test_loras_and_embeddings_that_stand_beside_the_prompt() -> None:
    settings = "a pier\nSteps: 9, Sampler: Euler, Seed: 1, "
    older = read(settings + "AddNet Module 1: LoRA, AddNet Model 1: sails(aabbccddeeff), "
                 "AddNet Weight A 1: 0.4, Embeddings: \"haze, mud\"")  # fmt: skip
    assert [lora.as_dict() for lora in older.loras] == [
        {"name": "sails", "weight": 0.4, "hash": "aabbccddeeff"}
    ]
    assert [embedding.name for embedding in older.embeddings] == ["haze", "mud"]
    fooocus = read(settings + 'Version: Fooocus v2.5, Lora hashes: "tail: 0011223344", '
                   'Lora weights: "tail: 0.3, string: 1.2"')  # fmt: skip
    assert fooocus.dialect == "fooocus-a1111"
    assert [lora.as_dict() for lora in fooocus.loras] == [
        {"name": "tail", "weight": 0.3, "hash": "0011223344"},
        {"name": "string", "weight": 1.2},
    ]
    combined = read(
        {
            "full_prompt": "a boat", "base_model": "boats", "refiner_model": "late.safetensors",
            "lora_combined_1": "tail.safetensors : 0.1", "lora_combined_2": "None : 1",
        }
    )  # fmt: skip
    assert [lora.as_dict() for lora in combined.loras] == [{"name": "tail", "weight": 0.1}]
    assert combined.not_carried == ["Refiner"]
    metadata = {
        "cfgScale": 5, "aspectRatio": {"width": 640, "height": 960},
        "resources": [{"type": "lora", "modelVersionId": 7}],
    }  # fmt: skip
    sent = read(f"{settings}Civitai metadata: {json.dumps(metadata)}")
    assert (sent.guidance, sent.width, sent.height) == (5, 640, 960)
    assert sent.loras[0].as_dict() == {"version_id": 7, "weight": 1}


def test_safety_embeddings_of_the_site_are_its_own() -> None:
    resources = [
        {"type": "checkpoint", "modelVersionId": 7, "modelName": "a }] name: with, \U0001f33f"},
        {"type": "embed", "modelVersionId": 250708, "modelName": "safe_neg"},
    ]
    reading = read(
        "a barn\nSteps: 20, Sampler: Undefined, Seed: 1, Civitai resources: "
        f"{json.dumps(resources)}, Civitai metadata: {{}}"
    )
    assert reading.model.version_id == 7
    assert reading.embeddings == []
    assert reading.as_dict()["sampler"] is None
    assert "comfy" not in reading.as_dict()


def test_what_is_no_generation_data_is_none_and_known_programs_are_named() -> None:
    assert read_any("just a prompt: with a colon, and words") is None
    assert read_any('{"a": 1}') is None
    assert read_any("{red|blue} car\nNegative prompt: fog") is not None
    for text, program in (
        ('{"positive_conditioning": []}', "InvokeAI"),
        ('{"nodes": [], "links": []}', "canvas"),
    ):
        with pytest.raises(RequestInvalid, match=program):
            read_any(text)
    with pytest.raises(RequestInvalid, match="too long"):
        read_any("a" * 2_000_001)
