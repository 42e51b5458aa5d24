"""sdxl: Stable Diffusion XL and its descendants Pony, Illustrious and NoobAI.

The descendants have no form of their own: they are checkpoints of this one.
"""

from __future__ import annotations

from typing import Any, Literal

from civitai_skill.engines import forms
from civitai_skill.engines.families import shared
from civitai_skill.engines.families.shared import catalogue, leaf
from civitai_skill.engines.family import Caution, Family, Fit, Variant, Way
from civitai_skill.engines.sizing import by_ratio


class Sdxl(shared.Checkpoint):
    ecosystem: Literal["sdxl"] = "sdxl"
    negative_prompt: forms.LongText | None = None


class SdxlSdcpp(shared.SdcppCheckpoint, Sdxl):
    buzz = forms.rate(8)


class SdxlComfy(shared.ComfyCheckpoint, Sdxl):
    buzz = forms.rate(8, steps=30)


_FORMS = (
    leaf(SdxlSdcpp, forms.Create),
    leaf(SdxlSdcpp, forms.VariantOf),
    leaf(SdxlComfy, forms.Create),
    leaf(SdxlComfy, forms.ComfyVariantOf),
)


def _checkpoint(
    air: str,
    *,
    sampler: tuple[str, str] | None = None,
    guidance: float = 7,
    steps: tuple[int, int, int] = (20, 25, 30),
) -> tuple[Way, ...]:
    """The four ways with a checkpoint as default `model`; `sampler` as sdcpp and comfy spell it."""
    ways = []
    for form in _FORMS:
        default: dict[str, Any] = {"model": f"urn:air:sdxl:checkpoint:civitai:{air}"}
        if sampler is not None:
            default["sampler"] = sampler[0] if issubclass(form, forms.Sdcpp) else sampler[1]
        draft, standard, high = ({"steps": n, "guidance": guidance} for n in steps)
        ways.append(Way(form, default=default, draft=draft, standard=standard, high=high))
    return tuple(ways)


_EULER_A = ("euler_a", "euler_ancestral")
_EULER = ("euler", "euler")

_TAGS = (
    "Danbooru tags, the most important first, with masterpiece, best quality, very aesthetic, "
    "absurdres.",
    "Negative: worst quality, low quality, bad anatomy, jpeg artifacts.",
)
# Of the form, whatever checkpoint was in it.
_MEASURED = catalogue(create=(20, 72, 0.995))
_HALF = {"strength": 0.6}
_WIDE = {"aspect_ratio": "21:9"}
_TALL = {"width": 640, "height": 1536}

FAMILY = Family(
    name="sdxl",
    title="Stable Diffusion XL",
    maker="Stability AI and the community",
    suits="anime, LoRAs, checkpoints",
    variants=(
        Variant(
            "base",
            _checkpoint("101055@128078"),
            fits=(
                Fit("lora", 60, "the largest stock of LoRAs: SDXL, Pony, Illustrious, NoobAI"),
                Fit("checkpoint", 60, "takes any SDXL-family checkpoint as model"),
                Fit("fastest", 60, "the quickest of the open engines that was measured"),
                Fit("exact_seed", 60, "real seeds; pin model, sampler and size as well"),
                Fit("ultra_wide", 60, "1536x640 is one of its trained sizes", _WIDE),
                Fit("phone_tall", 57, "640x1536 is one of its trained sizes", _TALL),
                Fit("pixel_art", 60, "with a pixel-art LoRA: models alone do not align pixels"),
                Fit("illustration", 60, "stylised art, and a LoRA for nearly every style"),
                Fit("concept_art", 57, "stylised checkpoints and style LoRAs"),
                Fit(
                    "keep_character",
                    54,
                    "with a LoRA of the character: the most stable over a long series",
                ),
                Fit("restyle", 60, "a variant of the source in any checkpoint's style", _HALF, 1),
                Fit("mature", 60, "only Civitai's own moderation applies"),
            ),
            measured=_MEASURED,
            best_for="any SDXL checkpoint of your choice in `model`; style LoRAs",
            avoid_for="anime: take illustrious, noobai or pony",
            seconds="10-25",
            aliases=("sdxl-1.0", "1.0"),
            notes=(
                "Tags or short phrases, 40 to 80 words: subject, scene, light, lens, style.",
                "Turbo, LCM and Lightning checkpoints want 4 to 8 steps at guidance 1 to 2.",
            ),
        ),
        Variant(
            "juggernaut",
            _checkpoint("133005@348913"),
            fits=(
                Fit("photo", 48, "photographic SDXL checkpoint, with negative prompts and LoRAs"),
                Fit(
                    "portrait", 48, "photographic SDXL checkpoint, with negative prompts and LoRAs"
                ),
                Fit("mature", 57, "photographic, and only Civitai's own moderation applies"),
            ),
            measured=_MEASURED,
            best_for="photos and cinematic scenes",
            avoid_for="anime",
            seconds="10-25",
            aliases=("juggernaut-xl",),
            notes=("Prompt as for base: short phrases with light and lens.",),
        ),
        Variant(
            "pony",
            _checkpoint("257749@290640", sampler=_EULER_A, steps=(20, 25, 30)),
            fits=(
                Fit("cartoon", 60, "knows cartoon, furry and character styles by tag"),
                Fit("anime", 51, "source_anime with Pony's own tags"),
                Fit(
                    "mature", 54, "rating tags steer it, and only Civitai's own moderation applies"
                ),
            ),
            measured=_MEASURED,
            best_for="cartoon, furry and character art; Pony LoRAs",
            avoid_for="photos",
            seconds="10-25",
            aliases=("pony-v6", "pony-xl"),
            notes=(
                "Begin with score_9, score_8_up, score_7_up, score_6_up, score_5_up, score_4_up, "
                "then a sentence and tags.",
                "source_anime, source_cartoon, source_furry or source_pony picks the style; "
                "rating_safe, rating_questionable or rating_explicit the rating.",
                "Needs neither quality words nor a negative prompt.",
            ),
        ),
        Variant(
            "illustrious",
            _checkpoint("795765@889818", sampler=_EULER_A, guidance=6, steps=(20, 24, 28)),
            fits=(
                Fit("anime", 57, "danbooru tags and the most anime LoRAs"),
                Fit("mature", 54, "only Civitai's own moderation applies"),
            ),
            measured=_MEASURED,
            best_for="anime with danbooru tags; Illustrious LoRAs",
            avoid_for="photos, prose prompts",
            seconds="10-25",
            aliases=("illustrious-xl",),
            notes=(
                *_TAGS,
                "This is v0.1, native at 1024; v1.0 (civitai:1232765@1389133) is native at 1536.",
            ),
        ),
        Variant(
            "wai-illustrious",
            _checkpoint("827184@2514310", sampler=_EULER_A, guidance=6, steps=(20, 24, 28)),
            fits=(
                Fit("anime", 60, "polished anime from danbooru tags"),
                Fit("cartoon", 54, "drawn characters from tags"),
                Fit("illustration", 48, "drawn characters from tags"),
                Fit("mature", 54, "only Civitai's own moderation applies"),
            ),
            measured=_MEASURED,
            best_for="anime in the polished look of a merge of Illustrious",
            avoid_for="photos, prose prompts",
            seconds="10-25",
            aliases=("wai",),
            notes=_TAGS,
        ),
        Variant(
            "noobai",
            _checkpoint("833294@1190596", sampler=_EULER, guidance=4.5, steps=(28, 30, 35)),
            fits=(
                Fit("anime", 54, "knows rare characters and artists by danbooru and e621 tags"),
                Fit("cartoon", 57, "furry by e621 tags"),
                Fit("mature", 54, "only Civitai's own moderation applies"),
            ),
            measured=_MEASURED,
            best_for="anime and furry with danbooru and e621 tags, rare characters and artists",
            avoid_for="photos, prose prompts",
            seconds="10-25",
            aliases=("noobai-xl", "noob"),
            notes=(
                r"Danbooru and e621 tags, masterpiece, best quality; brackets escaped: \(series\).",
                "Negative: nsfw, worst quality, old, early, low quality, lowres, signature, "
                "username, logo, bad hands, mutated hands.",
                "A v-prediction model: euler, guidance 4 to 5.",
            ),
        ),
    ),
    best_for=("a particular Civitai checkpoint", "anime", "stylised art", "style LoRAs", "batches"),
    avoid_for=("readable text", "exact counts and positions", "edits by instruction"),
    prompt=(
        "Tags or short phrases, 40 to 80 words: subject, scene, light, lens, style; weights of 1.1 "
        "to 1.3; a short negative prompt. Pony, Illustrious and NoobAI each want their own tags: "
        "see the variant."
    ),
    sizes=by_ratio("1:1 1024x1024, 4:3 1152x896, 3:2 1216x832, 16:9 1344x768, 21:9 1536x640"),
    multiple=16,
    ecosystems=frozenset({"sdxl", "sdxl1", "pony", "illustrious", "noobai"}),
    embedding_ecosystems=frozenset({"sd1"}),
    mature="civitai",
    cautions=(
        shared.ONLY_LCM,
        Caution("does not fit a v-prediction model", "scheduler", ("karras",), ("noobai",)),
    ),
    licence="CreativeML Open RAIL++-M; checkpoints have their own terms",
    notes=(
        "No edit form: a source picture becomes a variant of it.",
        "LoRAs of SDXL, Pony, Illustrious and NoobAI load on each other, with varying quality; "
        "SD 1.x embeddings load too.",
        "Ratios far from the recommended sizes draw the subject twice.",
        "sdcpp has embeddings and uCache, comfy has control_nets; no clipSkip on either.",
        "Check a checkpoint's own page for steps and guidance: merges vary.",
    ),
    conflicts=(
        "The default checkpoint has two names: Juggernaut XL (recipe page), SDXL 1.0 (site).",
        "Pony's card demands clip skip 2, which these forms can't send; what that changes here is "
        "not known.",
        "NoobAI v-pred: one page says the set-up is applied for you; not proven for the API.",
    ),
    sources=(
        "recipe page sdxl (August 2026)",
        "published document, forms Sdxl* and ComfySdxl*",
        "model cards of Pony V6, Illustrious, NoobAI",
        "civitai/civitai generator source, August 2026",
    ),
)
