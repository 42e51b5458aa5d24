"""ComfyUI graphs: walked from the saved picture, whatever stands in them."""

from __future__ import annotations

import json
from typing import Any

from civitai_skill.remix.reading import Reading
from civitai_skill.remix.texts import read_any


def node(kind: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": kind, "inputs": inputs}


def read(graph: dict[str, Any]) -> Reading:
    found = read_any(json.dumps(graph))
    assert found is not None
    return found


GRAPH = {
    "1": node("CheckpointLoaderSimple", ckpt_name="folder/base.safetensors"),
    "2": node("LoraLoader", lora_name="one.safetensors", strength_model=0.6, model=["1", 0]),
    "3": node("LoraLoader", lora_name="off.safetensors", strength_model=0, model=["2", 0]),
    "4": node("Power Lora Loader (rgthree)", model=["3", 0], clip=["1", 1],
              lora_1={"on": True, "lora": "two.safetensors", "strength": 0.3},
              lora_2={"on": False, "lora": "three.safetensors", "strength": 1}),
    "5": node("CLIPSetLastLayer", stop_at_clip_layer=-2, clip=["4", 1]),
    "6": node("String Literal", string="a pier at noon"),
    "7": node("CLIPTextEncode", text=["6", 0], clip=["5", 0]),
    "8": node("CLIPTextEncode", text="fog", clip=["5", 0]),
    "9": node("ControlNetApplyAdvanced", positive=["7", 0], negative=["8", 0],
              control_net=["20", 0]),
    "10": node("Seed (rgthree)", seed=77),
    "11": node("EmptyLatentImage", width=640, height=480, batch_size=1),
    "12": node("KSampler", seed=["10", 0], steps=18, cfg=6.5, sampler_name="euler_ancestral",
               scheduler="karras", denoise=1, model=["4", 0], positive=["9", 0],
               negative=["9", 1], latent_image=["11", 0]),
    "13": node("LatentUpscale", samples=["12", 0]),
    "14": node("KSampler", seed=5, steps=9, cfg=6.5, sampler_name="euler", scheduler="normal",
               denoise=0.4, model=["4", 0], positive=["7", 0], negative=["8", 0],
               latent_image=["13", 0]),
    "15": node("VAEDecode", samples=["14", 0], vae=["1", 2]),
    "16": node("SaveImage", images=["15", 0]),
    "17": node("LoraLoader", lora_name="nobody.safetensors", strength_model=1, model=["1", 0]),
    "20": node("ControlNetLoader", control_net_name="lines.pth"),
    "extra": {"airs": []},
}  # fmt: skip


def test_the_first_pass_is_the_request_and_links_are_followed() -> None:
    reading = read(GRAPH)
    assert (reading.prompt, reading.negative_prompt) == ("a pier at noon", "fog")
    assert (reading.seed, reading.steps, reading.guidance, reading.clip_skip) == (77, 18, 6.5, 2)
    assert (reading.width, reading.height) == (640, 480)
    assert reading.sampling.on("comfy") == ["euler_ancestral", "karras"]
    assert reading.model.name == "base"
    assert [(lora.name, lora.weight) for lora in reading.loras] == [("one", 0.6), ("two", 0.3)]
    assert reading.controlnets == [{"model": "lines.pth"}]
    assert reading.hires == {"denoise": 0.4}


def test_a_graph_that_bites_its_tail_ends() -> None:
    loop = {
        "1": node("KSampler", seed=["2", 0], steps=["1", 0], cfg=["1", 0], model=["1", 0],
                  positive=["3", 0], negative=["3", 0], latent_image=["1", 0]),
        "2": node("Primitive", value=["2", 0]),
        "3": node("CLIPTextEncode", text=["4", 0]),
        "4": node("Concat", text=["3", 0]),
        "5": node("SaveImage", images=["1", 0]),
    }  # fmt: skip
    assert read(loop).prompt == ""
    deep: dict[str, Any] = {str(n): node("CLIPTextEncode", text=[str(n + 1), 0]) for n in range(99)}
    deep["99"] = node("KSampler", seed=1, steps=2, positive=["0", 0], latent_image=["98", 0])
    assert read(deep).seed == 1


def test_what_civitai_writes_beside_a_graph_is_read() -> None:
    extra = {"prompt": "a pier", "steps": 12, "cfgScale": 5, "seed": 3}
    reading = read({"1": node("LoadImage", image="x.png"), "extraMetadata": json.dumps(extra)})
    assert (reading.prompt, reading.steps, reading.guidance, reading.seed) == ("a pier", 12, 5, 3)
