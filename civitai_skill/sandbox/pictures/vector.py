"""A picture as paths: its colours, few, each a path of the rows of pixels that have it."""

from __future__ import annotations

from collections import defaultdict
from itertools import groupby

from PIL import Image, ImageFilter

# Pixels of the longer side that are traced, and the most colours: an SVG of some 100 kB.
_SIDE, _COLOURS = 160, 16

# Stands for no colour.
_CLEAR = 255


def trace(picture: Image.Image) -> bytes:
    """An SVG of the picture; what is transparent stays so."""
    small = picture.convert("RGBA")
    small.thumbnail((_SIDE, _SIDE))
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
