"""Pictures: real files of exactly the asked size and format, drawn when they are fetched.

An SVG holds the colours of a picture, few, each a path of the rows of pixels that have it.
"""

from __future__ import annotations

import hashlib
import io
import math
from collections import defaultdict
from collections.abc import Callable
from itertools import groupby
from random import Random
from threading import Lock
from typing import Any

from PIL import Image, ImageChops, ImageColor, ImageDraw, ImageFilter, ImageOps
from PIL.PngImagePlugin import PngInfo

from civitai_skill.sandbox.pictures import caption
from civitai_skill.sandbox.steps import sources
from civitai_skill.sandbox.wire import Record

Load = Callable[[str], bytes | None]
Colour = tuple[int, int, int]

# Sky at the top, sky at the horizon, the sun, the farthest ridge, the nearest one.
_PALETTES = (
    ("#1b2a4e", "#f4a261", "#ffe8c2", "#8d6a86", "#141a2e"),
    ("#4a7c9b", "#e8f1f2", "#ffffff", "#9dbfcf", "#1f4e5f"),
    ("#5f0f40", "#fb8b24", "#ffe3a8", "#a8475c", "#24061c"),
    ("#264653", "#e9c46a", "#fff4cf", "#6f9c85", "#122b2f"),
    ("#3d348b", "#f2a6c2", "#fff0f0", "#8678c4", "#1b1647"),
    ("#10454f", "#bde0d6", "#fdfce8", "#6ea99b", "#07262c"),
)

# The scene is drawn on at most this many pixels, up to half as wide again as wanted, and then
# brought to its size: shrinking smooths the edges, and a large picture takes no longer to draw.
_CANVAS = 1_300_000

#: Bytes of finished pictures that are kept for the next fetch.
_KEPT = 64 * 1024 * 1024

# Pixels of the longer side on which a ground is followed, and how far its colour may differ.
_SMALL, _PLAIN = 384, 40

# Pixels of the longer side that are traced, and the most colours: an SVG of some 100 kB. The last
# stands for no colour.
_TRACED, _COLOURS, _CLEAR = 160, 16, 255

_USER_COMMENT, _EXIF, _UNICODE = 0x9286, 0x8769, b"UNICODE\0"


class Gallery:
    """Draws recipes, and remembers the latest."""

    def __init__(self) -> None:
        self._kept: dict[str, bytes] = {}
        self._lock = Lock()

    def picture(self, id: str, recipe: Record, load: Load) -> bytes:
        """The file of a recipe; `load` finds a source's bytes, None where it lies elsewhere."""
        with self._lock:
            found = self._kept.pop(id, None)
        data = render(recipe, load) if found is None else found
        with self._lock:
            self._kept[id] = data
            while sum(map(len, self._kept.values())) > _KEPT and len(self._kept) > 1:
                del self._kept[next(iter(self._kept))]
        return data


def render(recipe: Record, load: Load) -> bytes:
    kind, size, comment = recipe["kind"], (recipe["width"], recipe["height"]), ""
    if kind == "draw":
        return _save(_draw(recipe, load), recipe, parameters(recipe))
    picture = _open_source(recipe["source"], load)
    if kind == "imageToSvg":
        return trace(picture)
    if kind == "imageUpscaler":
        picture = picture.convert("RGB").resize(size, Image.Resampling.BICUBIC)
    elif kind == "imageBackgroundRemoval":
        picture = _cut_out(picture)
    else:
        comment = "" if recipe["output"].get("hideMetadata") else _comment(picture)
        picture = _convert(picture, recipe["transforms"])
        # A source elsewhere has another size than was thought.
        picture = picture if picture.size == size else picture.resize(size)
    return _save(picture, recipe, comment)


def parameters(recipe: Record) -> str:
    """What the file says about itself, in the manner that picture tools read."""
    told = f", Civitai metadata: {recipe['metadata']}" if recipe.get("metadata") else ""
    return (
        f"{recipe['prompt']}\nSeed: {recipe['seed']}, Size: {recipe['width']}x{recipe['height']}, "
        f"Model: {recipe['engine']}, Version: civitai-skill sandbox{told}"
    )


def _draw(recipe: Record, load: Load) -> Image.Image:
    size = recipe["width"], recipe["height"]
    words = f"{recipe['prompt']}\n{recipe['engine']}\n{recipe['seed']}"
    random = Random(hashlib.sha256(words.encode(errors="replace")).digest())
    picture = draw_scene(random, size)
    if recipe.get("source"):
        source = ImageOps.fit(_open_source(recipe["source"], load).convert("RGB"), size)
        picture = Image.blend(picture, source, recipe["share"])
    facts = f"{recipe['engine']} · seed {recipe['seed']} · {size[0]}x{size[1]}"
    if recipe["sources"]:
        facts += f" · from {recipe['sources']} source" + ("s" if recipe["sources"] > 1 else "")
    caption.write(picture, recipe["prompt"], facts)
    return picture


def _open_source(text: str, load: Load) -> Image.Image:
    data = load(text)
    if data is not None:
        with Image.open(io.BytesIO(data)) as picture:
            picture.load()
            return picture.copy()
    name = text.partition("?")[0]
    shown: Record = {
        "prompt": name if len(name) < 200 else name[:197] + "...", "sources": 0, "seed": 0,
        "engine": "a picture elsewhere, not fetched", "width": 1024, "height": 1024,
    }  # fmt: skip
    return _draw(shown, load)


def _cut_out(source: Image.Image) -> Image.Image:
    """What stands on a plain ground, on nothing; the middle where the ground is not plain."""
    picture = source.convert("RGBA")
    mask = _find_subject(source)
    if mask is None:
        mask = Image.new("L", (256, 256), 0)
        ImageDraw.Draw(mask).ellipse((28, 20, 228, 236), fill=255)
        mask = mask.filter(ImageFilter.GaussianBlur(4)).resize(picture.size)
    picture.putalpha(ImageChops.multiply(picture.getchannel("A"), mask))
    size = max(8, round(math.sqrt(picture.width * picture.height) / 36))
    caption.write_badge(picture, size // 2, size // 2, size)
    return picture


def _find_subject(picture: Image.Image) -> Image.Image | None:
    """The opacity of what can't be reached from the edge over a plain ground; None without one."""
    small = picture.convert("RGB")
    small.thumbnail((_SMALL, _SMALL))
    width, height = small.size
    if min(width, height) < 3:
        return None
    ground = Image.new("RGB", small.size, small.getpixel((0, 0)))
    red, green, blue = ImageChops.difference(small, ground).split()
    apart = ImageChops.lighter(ImageChops.lighter(red, green), blue)
    near = apart.point(lambda much: 255 if much < _PLAIN else 0)
    frame = near.copy()
    frame.paste(255, (1, 1, width - 1, height - 1))
    if frame.getextrema()[0] == 0:
        return None
    ImageDraw.floodfill(near, (0, 0), 128)
    mask = near.point(lambda value: 0 if value == 128 else 255).resize(picture.size)
    return mask if mask.getbbox() else None


def _convert(source: Image.Image, transforms: list[Record]) -> Image.Image:
    picture = source.convert("RGBA" if "A" in source.getbands() else "RGB")
    for change in transforms:
        if change["type"] == "blur":
            picture = _blur(picture, change)
        elif change.get("targetWidth"):
            width = int(change["targetWidth"])
            size = width, max(1, round(picture.height * width / picture.width))
            picture = picture.resize(sources.limit(size), Image.Resampling.LANCZOS)
    return picture


def _blur(picture: Image.Image, change: Record) -> Image.Image:
    """Blur inside the regions, or everywhere else."""
    soft = picture.filter(ImageFilter.GaussianBlur(change["blur"]))
    inside = change.get("mode") != "exclude"
    mask = Image.new("L", picture.size, 0 if inside else 255)
    draw = ImageDraw.Draw(mask)
    for region in change.get("regions") or []:
        # In order, and neither edge far outside: Pillow can't count to any number.
        (left, right), (top, bottom) = (
            sorted(min(max(region[f"{axis}{end}"], -1), length) for end in (1, 2))
            for axis, length in zip("xy", picture.size, strict=True)
        )
        draw.rectangle((left, top, right, bottom), fill=255 if inside else 0)
    return Image.composite(soft, picture, mask)


def _comment(picture: Image.Image) -> str:
    """What a file says about itself, where it does so as `_save` writes it."""
    words = picture.getexif().get_ifd(_EXIF).get(_USER_COMMENT, b"")[len(_UNICODE) :]
    return str(picture.info.get("parameters", "")) or bytes(words).decode("utf-16-be", "replace")


def _save(picture: Image.Image, recipe: Record, comment: str = "") -> bytes:
    out, kind, given = io.BytesIO(), recipe["format"], recipe.get("output", {})
    exif, info = Image.Exif(), PngInfo()
    if comment:
        text = _UNICODE + comment.encode("utf-16-be", errors="replace")
        exif.get_ifd(_EXIF)[_USER_COMMENT] = text
        info.add_itxt("parameters", comment.encode(errors="replace").decode())
    how: dict[str, Any] = {
        "png": {"compress_level": 1, "pnginfo": info},
        "webp": {"quality": int(given.get("quality", 85)), "method": 2, "exif": exif,
                 "lossless": given.get("lossless", False)},
        "gif": {},
        "jpeg": {"quality": int(given.get("quality", 88)), "exif": exif},
    }[kind]  # fmt: skip
    picture = picture if kind in ("png", "webp") else picture.convert("RGB")
    picture.save(out, kind, **how)
    return out.getvalue()


def trace(picture: Image.Image) -> bytes:
    """An SVG of the picture; what is transparent stays so."""
    small = picture.convert("RGBA")
    small.thumbnail((_TRACED, _TRACED))
    flat = small.convert("RGB").quantize(_COLOURS)
    palette, (width, height) = flat.getpalette() or [], small.size
    alpha = small.getchannel("A").tobytes()
    seen = bytes(c if a > 127 else _CLEAR for c, a in zip(flat.tobytes(), alpha, strict=True))
    # A narrow fringe between two colours goes to the wider one.
    places = Image.frombytes("L", flat.size, seen).filter(ImageFilter.ModeFilter(5)).tobytes()
    rows: dict[int, list[str]] = defaultdict(list)
    for y in range(height):
        x = 0
        for colour, run in groupby(places[y * width : (y + 1) * width]):
            length = len(list(run))
            rows[colour].append(f"M{x} {y}h{length}v1H{x}z")
            x += length
    rows.pop(_CLEAR, None)
    paths = []
    for colour, parts in rows.items():
        fill = "#{:02x}{:02x}{:02x}".format(*palette[3 * colour : 3 * colour + 3])
        paths.append(f'<path fill="{fill}" d="{"".join(parts)}"/>')
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{picture.width}" '
        f'height="{picture.height}" viewBox="0 0 {width} {height}" shape-rendering="crispEdges">'
    )
    title = "<title>Traced by the civitai-skill sandbox</title>"
    return "\n".join((head, title, *paths, "</svg>\n")).encode()


# -- the landscape behind every caption ------------------------------------------------------------
def draw_scene(random: Random, wanted: tuple[int, int]) -> Image.Image:
    """An RGB landscape of exactly this size."""
    scale = min(1.5, math.sqrt(_CANVAS / (wanted[0] * wanted[1])))
    width, height = (max(32, round(side * scale)) for side in wanted)
    top, low, light, far, near = (_tint(random, text) for text in random.choice(_PALETTES))
    horizon = random.uniform(0.45, 0.62)
    picture = Image.new("RGB", (width, height), low)
    sky = ImageOps.colorize(Image.linear_gradient("L"), top, low)
    picture.paste(sky.resize((width, round(height * horizon))))
    draw = ImageDraw.Draw(picture)

    radius = round(min(width, height) * random.uniform(0.05, 0.1)) + 1
    x = round(width * random.uniform(0.2, 0.8))
    y = round(height * horizon * random.uniform(0.45, 0.95))
    glow = Image.radial_gradient("L").point(lambda v: max(0, 255 - v * 1.42) * 0.6)
    glow = glow.resize((radius * 12, radius * 12))
    picture.paste(light, (x - radius * 6, y - radius * 6), glow)
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), light)

    count, step = random.randint(4, 6), max(1, width // 400)
    for i in range(count):
        share = (i + 0.6) / count
        base, swing = horizon + (0.98 - horizon) * share * 0.75, 0.065 - share * 0.035
        waves = [(random.uniform(0, math.tau), random.uniform(4, 8) * 1.9**k, 0.6**k)
                 for k in range(7)]  # fmt: skip
        ridge = []
        for x in range(0, width + step, step):
            wave = sum(math.sin(begin + x / width * turns) * tall for begin, turns, tall in waves)
            ridge.append((x, height * (base - swing * wave)))
        draw.polygon([*ridge, (width, height), (0, height)], fill=_mix(far, near, share))
    spruce, dark, at = min(width, height) * 0.075, _mix(near, (0, 0, 0), 0.35), 0.0
    while at < width:
        foot = next(y for x, y in ridge if x >= at) + spruce * 0.12
        size = spruce * random.uniform(0.35, 1.0)
        for part in range(3):
            base, peak = foot - size * 0.28 * part, foot - size * (0.46 + 0.27 * part)
            half = size * (0.22 - 0.05 * part)
            draw.polygon([(at - half, base), (at + half, base), (at, peak)], fill=dark)
        at += spruce * random.uniform(0.12, 1.1)
    return picture.resize(wanted, Image.Resampling.BICUBIC)


def _tint(random: Random, text: str) -> Colour:
    """A colour of a palette, a little warmer or colder."""
    red, green, blue = ImageColor.getrgb(text)[:3]
    shift = random.randint(-10, 10)
    return min(max(red + shift, 0), 255), green, min(max(blue - shift, 0), 255)


def _mix(one: Colour, other: Colour, share: float) -> Colour:
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(one, other, strict=True))
    return red, green, blue
