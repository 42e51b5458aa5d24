"""The sandbox's models and pictures: none of them is real, nor are their numbers, names and words.

One model can't be generated with, one is deleted, one is in early access, one is mature, some bear
the same name. A line of `_MODELS` is a model; its versions stand newest first. One picture hides
its metadata, one is a film, two stand in one post.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from civitai_skill.schema.air import fold

State = Literal["", "uncovered", "deleted", "early", "taken down"]

#: The site's types, and those of AIRs.
_AIR_TYPES = {
    "Checkpoint": "checkpoint", "LORA": "lora", "LoCon": "lycoris", "DoRA": "dora",
    "TextualInversion": "embedding", "VAE": "vae",
}  # fmt: skip
#: Base models whose ecosystem is not their own name.
_ECOSYSTEMS = {
    "SD 1.5": "sd1", "SDXL 1.0": "sdxl", "Pony": "sdxl", "Illustrious": "sdxl", "NoobAI": "sdxl",
    "Flux.1 D": "flux1", "Flux.2 Klein 4B": "flux2",
    "Wan Video 2.2 T2V-A14B": "wanvideo-22-t2v-a14b",
}  # fmt: skip


@dataclass(frozen=True)
class MadeVersion:
    """A version: its number, name and base model, and the words that it was trained on."""

    id: int
    name: str
    base_model: str
    words: tuple[str, ...] = ()
    state: State = ""


@dataclass(frozen=True)
class MadeModel:
    """A model; `sells` is what its author lets others sell, `[]` as a list and `{}` as text."""

    id: int
    name: str
    type: str
    about: str
    versions: tuple[MadeVersion, ...]
    creator: str = "made_up"
    downloads: int = 1000
    mature: bool = False
    tags: tuple[str, ...] = ()
    sells: tuple[str, ...] = ("Image", "RentCivit")
    as_text: bool = False
    fee: int = 0

    def air(self, version: MadeVersion) -> str:
        """Its AIR, as only the version's own record has it."""
        base = version.base_model
        ecosystem = _ECOSYSTEMS.get(base) or fold(base)
        return f"urn:air:{ecosystem}:{_AIR_TYPES[self.type]}:civitai:{self.id}@{version.id}"


def _one(
    id: int, downloads: int, name: str, type: str, base: str, about: str, *words: str,
    state: State = "", **more: object,
) -> MadeModel:  # fmt: skip
    """A model with one version, whose number follows from the model's."""
    version = (MadeVersion(id * 10 + 1, "v1.0", base, words, state),)
    return MadeModel(id, name, type, about, version, downloads=downloads, **more)  # type: ignore[arg-type]


_MODELS: tuple[MadeModel, ...] = (
    # -- checkpoints
    MadeModel(9001, "Larkspur XL", "Checkpoint", "Photographs with soft light.", (
        MadeVersion(90012, "v2.0", "SDXL 1.0"), MadeVersion(90011, "v1.0", "SDXL 1.0"),
    ), downloads=120_000, tags=("photorealistic", "base model"), as_text=True),
    _one(9002, 80_000, "Paper Lantern", "Checkpoint", "Illustrious", "Anime with flat colours.",
         tags=("anime",)),
    _one(9003, 40_000, "Harbour Pony", "Checkpoint", "Pony", "Cartoons and creatures."),
    _one(9004, 200_000, "Old Timer", "Checkpoint", "SD 1.5", "A small general model."),
    _one(9005, 9_000, "Quiet Flux", "Checkpoint", "Flux.1 D", "Calm, natural pictures.", sells=()),
    _one(9006, 1_000, "Rainlight Anima", "Checkpoint", "Anima", "Anime in the rain."),
    _one(9007, 60_000, "Closed Garden", "Checkpoint", "SDXL 1.0", "Only for download.",
         state="uncovered"),
    _one(9008, 1_000, "Vanished", "Checkpoint", "SDXL 1.0", "No longer there.", state="deleted"),
    _one(9009, 3_000, "Tomorrow XL", "Checkpoint", "SDXL 1.0", "Sold for a while.", state="early"),
    _one(9010, 70_000, "Night Market", "Checkpoint", "Illustrious", "Mature scenes.", mature=True),
    _one(9011, 150_000, "Film Cutter", "Checkpoint", "Wan Video 2.2 T2V-A14B", "Moving pictures."),
    _one(9012, 20_000, "Chrome Noob", "Checkpoint", "NoobAI", "Sharp anime."),
    # -- LoRAs
    MadeModel(9101, "Ink Wash", "LORA", "<p>Brush and ink &amp; wet paper.</p>", (
        MadeVersion(91014, "Klein", "Flux.2 Klein 4B", ("inkwash style",)),
        MadeVersion(91013, "Flux", "Flux.1 D", ("inkwash style",)),
        MadeVersion(91012, "XL 2", "SDXL 1.0", ("inkwash style", "wet paper")),
        MadeVersion(91011, "1.5", "SD 1.5", ("inkwash",)),
    ), downloads=50_000, tags=("style",)),
    _one(9102, 300_000, "Detail Dial", "LORA", "SDXL 1.0", "More or less detail.", as_text=True,
         sells=("Image", "RentCivit", "Rent", "Sell")),
    _one(9103, 900, "Detail Dial", "LORA", "SDXL 1.0", "Another one of this name.", "detailed",
         creator="somebody_else"),
    _one(9104, 1_000, "Detail Dial Flux", "LORA", "Flux.1 D", "Detail for another family."),
    _one(9105, 45_000, "Pixel Grid", "LORA", "SDXL 1.0", "Aligned pixels.", "pixel art"),
    _one(9106, 8_000, "Captain Mirabel", "LORA", "Illustrious", "A character in four outfits.",
         "mirabel, uniform", "mirabel, armour", "mirabel, swimsuit", "mirabel, gown",
         tags=("character",)),
    _one(9107, 12_000, "Claymation", "LoCon", "SD 1.5", "Clay figures.", "claymation"),
    # The numbers of the skills' and the README's examples.
    MadeModel(12345, "Linen", "LORA", "Woven texture.", (
        MadeVersion(67890, "v1.0", "SDXL 1.0", ("linen texture",)),
    )),
    _one(9109, 1_000, "Klein Sketch", "LORA", "Flux.2 Klein 4B", "Pencil sketches.",
         "pencil sketch"),
    _one(9110, 1_000, "Turbo Neon", "LORA", "ZImageTurbo", "Neon signs.", "neon sign", fee=2),
    _one(9111, 1_000, "Unseen Style", "LORA", "SDXL 1.0", "Taken down.", state="taken down"),
    _one(9112, 90_000, "Backstage", "LORA", "SDXL 1.0", "Mature poses.", mature=True),
    _one(9113, 1_000, "Qwen Poster", "DoRA", "Qwen", "Posters with words.", "poster layout"),
    _one(9114, 1_000, "Anima Gouache", "LORA", "Anima", "Gouache paint.", "gouache"),
    # -- the rest
    _one(9201, 500_000, "ClearHands", "TextualInversion", "SD 1.5",
         "A negative embedding for hands.", "clearhands"),
    _one(9202, 1_000, "XLPolish", "TextualInversion", "SDXL 1.0", "Polish in one word.",
         "xlpolish"),
    _one(9301, 30_000, "Warm VAE", "VAE", "SD 1.5", "Warmer colours."),
    _one(9302, 15_000, "Crisp XL VAE", "VAE", "SDXL 1.0", "Clearer edges."),
)  # fmt: skip


def hashes(version: MadeVersion) -> Mapping[str, str]:
    """The hashes of a version's file: of bytes that do not exist, so of its number."""
    words = (f"{what} {version.id}".encode() for what in ("sandbox", "tensors"))
    whole, tensors = (hashlib.sha256(word).hexdigest().upper() for word in words)
    return {
        "AutoV1": tensors[-8:], "AutoV2": whole[:10], "SHA256": whole, "AutoV3": tensors[:12],
        "CRC32": whole[-8:],
    }  # fmt: skip


#: Every model but those that are deleted, and every version with its model, by number and by hash.
MODELS = {m.id: m for m in _MODELS if all(v.state != "deleted" for v in m.versions)}
VERSIONS = {version.id: (m, version) for m in MODELS.values() for version in m.versions}
BY_HASH = {hash: found for found in VERSIONS.values() for hash in hashes(found[1]).values()}


@dataclass(frozen=True)
class MadePicture:
    """A picture: its number and post, what its owner shows of it, the versions that it used."""

    id: int
    post: int
    meta: Mapping[str, Any] | None
    versions: tuple[int, ...] = ()
    type: str = "image"
    level: int = 1


_SETTINGS: Mapping[str, Any] = {
    "steps": 28, "sampler": "DPM++ 2M Karras", "cfgScale": 6, "seed": 424242, "Size": "832x1216",
    "clipSkip": 2,
}  # fmt: skip

PICTURES: tuple[MadePicture, ...] = (
    MadePicture(77001, 8801, {
        "prompt": "a heron in tall reeds, (ink:1.2), morning", "negativePrompt": "blurry, text",
        **_SETTINGS, "civitaiResources": [
            {"type": "checkpoint", "modelVersionId": 90012},
            {"type": "lora", "weight": 0.7, "modelVersionId": 91012},
        ],
    }, (90012, 91012)),
    MadePicture(77002, 8802, None, (90012, 91012)),
    MadePicture(77003, 8802, {"prompt": "a wave that rolls"}, type="video"),
    MadePicture(77004, 8803, {
        "prompt": "a tin robot <lora:detail dial:0.5>", **_SETTINGS, "resources": [],
        "Model": "old_timer", "Model hash": hashes(MadeVersion(90041, "", ""))["AutoV2"],
    }, level=8),
)  # fmt: skip
