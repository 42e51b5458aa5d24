"""krea2: Krea 2 by its open weights; the wire forms stand in `krea2_comfy.py`."""

from __future__ import annotations

from civitai_skill.engines.families.krea2_comfy import VARIANTS
from civitai_skill.engines.family import Family
from civitai_skill.engines.sizing import by_ratio

FAMILY = Family(
    name="krea2",
    title="Krea 2",
    maker="Krea",
    suits="film looks and concept art",
    variants=VARIANTS,
    quality={"draft": "turbo", "standard": "turbo", "high": "raw"},
    best_for=("film looks", "concept art", "Krea 2 LoRAs"),
    avoid_for=("tight layouts", "much text"),
    prompt=(
        "Natural words for mood, material and light, up to 300 of them; no (word:1.3) weights; "
        "negatives barely act."
    ),
    sizes=by_ratio("1:1 1024x1024, 4:3 1152x864, 3:2 1248x832, 16:9 1360x768, 21:9 1568x672"),
    multiple=16,
    ecosystems=frozenset({"krea2"}),
    mature="civitai",
    licence="Krea's own licence for its open weights",
    notes=("raw is made for up to 1K, turbo for 1K to 2K.",),
    conflicts=(
        "raw's settings: 20 steps at guidance 4 by the document, 52 at 3.5 by the maker. Taken: "
        "the document's, and the maker's for high.",
    ),
    sources=(
        "published document, forms ComfyKrea2*",
        "Krea 2 repository",
        "the service's public catalogue, August 2026",
    ),
)
