"""Pictures: real files of exactly the asked size and format, drawn when they are fetched."""

from __future__ import annotations

import hashlib
import io
from collections import OrderedDict
from collections.abc import Callable
from random import Random
from threading import Lock
from typing import Any

from PIL import Image, ImageDraw, ImageFilter
from PIL.PngImagePlugin import PngInfo

from civitai_skill.sandbox import caption, scenery, sizes

Recipe = dict[str, Any]
Load = Callable[[str], bytes | None]

#: Bytes of finished pictures that are kept for the next fetch.
_KEPT = 64 * 1024 * 1024

_USER_COMMENT, _EXIF = 0x9286, 0x8769


class Gallery:
    """Draws recipes, and remembers the latest."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, bytes] = OrderedDict()
        self._lock = Lock()

    def picture(self, id: str, recipe: Recipe, load: Load) -> bytes:
        """The file that a recipe describes.

        `load` finds the bytes of a source picture, None where it lies elsewhere.
        """
        with self._lock:
            found = self._kept.pop(id, None)
        data = render(recipe, load) if found is None else found
        with self._lock:
            self._kept[id] = data
            while sum(map(len, self._kept.values())) > _KEPT and len(self._kept) > 1:
                self._kept.popitem(last=False)
        return data


def render(recipe: Recipe, load: Load) -> bytes:
    """Draw one picture as a file."""
    kind = recipe["kind"]
    if kind == "draw":
        return _saved(_drawn(recipe), recipe, parameters(recipe))
    source = _source(recipe, load)
    size = recipe["width"], recipe["height"]
    if kind == "imageUpscaler":
        return _saved(source.convert("RGB").resize(size, Image.Resampling.BICUBIC), recipe, "")
    if kind == "imageBackgroundRemoval":
        return _saved(_cut_out(source), recipe, "")
    return _saved(_converted(source, recipe), recipe, "")


def parameters(recipe: Recipe) -> str:
    """What the file says about itself, in the manner that picture tools read."""
    return (
        f"{recipe['prompt']}\nSeed: {recipe['seed']}, Size: {recipe['width']}x{recipe['height']}, "
        f"Model: {recipe['engine']}, Version: civitai-skill sandbox"
    )


def _drawn(recipe: Recipe) -> Image.Image:
    size = recipe["width"], recipe["height"]
    words = f"{recipe['prompt']}\n{recipe['engine']}\n{recipe['seed']}"
    random = Random(hashlib.sha256(words.encode(errors="replace")).digest())
    picture = scenery.scene(random, size)
    facts = f"{recipe['engine']} · seed {recipe['seed']} · {size[0]}x{size[1]}"
    if recipe["sources"]:
        facts += f" · from {recipe['sources']} source" + ("s" if recipe["sources"] > 1 else "")
    caption.write(picture, recipe["prompt"], facts)
    return picture


def _source(recipe: Recipe, load: Load) -> Image.Image:
    data = load(recipe["source"])
    if data is not None:
        with Image.open(io.BytesIO(data)) as picture:
            picture.load()
            return picture.copy()
    name = recipe["source"].partition("?")[0]
    shown = {
        "kind": "draw",
        "prompt": name if len(name) < 200 else name[:197] + "...",
        "engine": "a picture elsewhere, not fetched",
        "seed": 0,
        "sources": 0,
        "width": 1024,
        "height": 1024,
    }
    return _drawn(shown)


def _cut_out(source: Image.Image) -> Image.Image:
    """The middle of a picture on nothing."""
    picture = source.convert("RGBA")
    width, height = picture.size
    mask = Image.new("L", (256, 256), 0)
    ImageDraw.Draw(mask).ellipse((28, 20, 228, 236), fill=255)
    soft = mask.filter(ImageFilter.GaussianBlur(4)).resize((width, height))
    picture.putalpha(soft)
    caption.badge(picture)
    return picture


def _converted(source: Image.Image, recipe: Recipe) -> Image.Image:
    picture = source.convert("RGBA" if "A" in source.getbands() else "RGB")
    for change in recipe["transforms"]:
        if change["type"] == "resize" and change.get("targetWidth"):
            picture = picture.resize(
                sizes.resized(picture.size, [change]), Image.Resampling.LANCZOS
            )
        elif change["type"] == "blur":
            picture = _blurred(picture, change)
    if picture.size != (recipe["width"], recipe["height"]):
        picture = picture.resize((recipe["width"], recipe["height"]))
    return picture


def _blurred(picture: Image.Image, change: Recipe) -> Image.Image:
    """Blur inside the regions, or everywhere else."""
    soft = picture.filter(ImageFilter.GaussianBlur(change["blur"]))
    inside = change.get("mode") != "exclude"
    mask = Image.new("L", picture.size, 0 if inside else 255)
    draw = ImageDraw.Draw(mask)
    for region in change.get("regions") or []:
        left, right = _edges(region["x1"], region["x2"], picture.width)
        top, bottom = _edges(region["y1"], region["y2"], picture.height)
        draw.rectangle((left, top, right, bottom), fill=255 if inside else 0)
    return Image.composite(soft, picture, mask)


def _edges(one: int, other: int, length: int) -> list[int]:
    """Both edges of a region in order, neither far outside: Pillow can't count to any number."""
    return sorted(min(max(edge, -1), length) for edge in (one, other))


def _saved(picture: Image.Image, recipe: Recipe, comment: str) -> bytes:
    out = io.BytesIO()
    kind = recipe["format"]
    options = recipe.get("output", {})
    exif = Image.Exif()
    if comment:
        text = b"UNICODE\0" + comment.encode("utf-16-be", errors="replace")
        exif.get_ifd(_EXIF)[_USER_COMMENT] = text
    if kind == "png":
        info = PngInfo()
        if comment:
            info.add_itxt("parameters", comment.encode(errors="replace").decode())
        picture.save(out, "PNG", compress_level=1, pnginfo=info)
    elif kind == "webp":
        quality, lossless = options.get("quality", 85), options.get("lossless", False)
        picture.save(out, "WEBP", quality=int(quality), lossless=lossless, method=2, exif=exif)
    elif kind == "gif":
        picture.convert("RGB").save(out, "GIF")
    else:
        picture.convert("RGB").save(out, "JPEG", quality=int(options.get("quality", 88)), exif=exif)
    return out.getvalue()
