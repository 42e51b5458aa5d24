"""Fuzzed generation data, for the tests and the benchmark of `remix`."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Any

from civitai_skill.errors import RequestInvalid
from civitai_skill.remix.fit import fit
from civitai_skill.remix.resolve import resolve
from civitai_skill.remix.texts import read_any

_PIECES = (
    "Steps: 20", "Sampler: DPM++ 2M Karras", "CFG scale: 7", "Seed: 1", "Size: 512x768",
    "Model hash: 0123456789", "Model: x.safetensors", 'Lora hashes: "a: 0011, b: "',
    'Hashes: {"model": "", "lora:a": 1}', "Civitai resources: [{}]", "Civitai metadata: {}",
    'ControlNet 0: "a, b: (c"', "Denoising strength: nan", "Clip skip: -2", "Version: f2",
    "Lora_0 Model name: y", "Distilled CFG Scale: 1e999", "Hires upscale: ---", "VAE: None",
    "Negative prompt: ", "<lora:a:1>", "<lora:a b:x:y=1>", "(a:1.2)", "[a:b:0.5]", "{a|b}",
    "BREAK", "\\(", "\n", ", ", ": ", '"', "{", "}", "[", "]", "\0", "\ud83c", "\u00e9", "\t",
    "Template: ", "Steps: ", "9" * 40, "parameters : ", "__x__", "--ar 1:1", '{"prompt": {',
    '"inputs": {', '"class_type": "KSampler"', "null", "true", "[\"1\", 0]", "sui_image_params",
)  # fmt: skip
_KINDS = ("KSampler", "LoraLoader", "CLIPTextEncode", "SaveImage", "EmptyLatentImage", "X")
_INPUTS = (
    "seed", "steps", "cfg", "model", "positive", "negative", "latent_image", "text", "samples",
    "lora_name", "strength_model", "ckpt_name", "images", "vae", "vae_name", "width", "lora_1",
)  # fmt: skip


def fuzzed(count: int, seed: int) -> Iterator[str]:
    """So many texts, always the same ones: pieces of every grammar, and graphs without sense."""
    chance = random.Random(seed)
    for n in range(count):
        if n % 4 == 0:
            yield json.dumps(_graph(chance))
            continue
        pieces = [chance.choice(_PIECES) for _ in range(chance.randint(1, 60))]
        text = chance.choice(("", ", ", "\n")).join(pieces)
        if n % 4 == 1:
            text = f"a fox\nSteps: 20, Sampler: Euler, Seed: 1, {text}"
        at = chance.randrange(len(text) + 1)
        yield text[:at] + chr(chance.randrange(0x300)) + text[at:]


def _graph(chance: random.Random) -> dict[str, Any]:
    size = chance.randint(1, 30)
    return {
        str(n): {
            "class_type": chance.choice(_KINDS),
            "inputs": {
                chance.choice(_INPUTS): _value(chance, size) for _ in range(chance.randint(0, 6))
            },
        }
        for n in range(size)
    }


def _value(chance: random.Random, size: int) -> Any:
    values = (
        [str(chance.randrange(size)), 0], chance.random(), 2**80, -1, "x", None, True, [], {},
        {"on": True, "lora": "y", "strength": "z"}, ["9", "9"], float("inf"),
    )  # fmt: skip
    return chance.choice(values)


def read_and_fit(text: str) -> None:
    """Read a text and make a request of it; only our own refusals may come."""
    try:
        reading = read_any(text)
        if reading is None:
            return
        json.dumps(reading.as_dict()).encode()
        try:
            next(resolve(None, reading))
        except StopIteration as end:
            fit(reading, end.value, {})
    except RequestInvalid:
        pass
