"""A picture as curves: its colours, few, each traced along the edges of its pixels."""

from __future__ import annotations

from collections import defaultdict

from PIL import Image, ImageFilter

Point = tuple[int, int]

# Pixels of the longer side that are traced, and the most colours: an SVG of some 100 kB.
_SIDE, _COLOURS = 160, 16

# Stands for no colour.
_CLEAR = 255


def trace(picture: Image.Image) -> bytes:
    """An SVG of the picture; what is transparent stays so."""
    small = picture.convert("RGBA")
    small.thumbnail((_SIDE, _SIDE))
    flat = small.convert("RGB").quantize(_COLOURS)
    palette, width = flat.getpalette() or [], small.width
    alpha = small.getchannel("A").tobytes()
    seen = bytes(c if a > 127 else _CLEAR for c, a in zip(flat.tobytes(), alpha, strict=True))
    # A narrow fringe between two colours goes to the wider one.
    places = Image.frombytes("L", flat.size, seen).filter(ImageFilter.ModeFilter(5)).tobytes()
    areas: dict[int, set[Point]] = defaultdict(set)
    for i, colour in enumerate(places):
        areas[colour].add((i % width, i // width))
    areas.pop(_CLEAR, None)
    paths = []
    for colour, area in sorted(areas.items(), key=lambda one: -len(one[1])):
        fill = "#{:02x}{:02x}{:02x}".format(*palette[3 * colour : 3 * colour + 3])
        curves = "".join(_curve(loop) for loop in _loops(area))
        # A thin line of the same colour closes the seam to the neighbours.
        paths.append(f'<path fill="{fill}" stroke="{fill}" stroke-width=".4" d="{curves}"/>')
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{picture.width}" '
        f'height="{picture.height}" viewBox="0 0 {width} {small.height}" fill-rule="evenodd">'
    )
    title = "<title>Traced by the civitai-skill sandbox</title>"
    return "\n".join((head, title, *paths, "</svg>\n")).encode()


def _loops(area: set[Point]) -> list[list[Point]]:
    """The corners around an area, loop by loop; the area lies to the right of the way."""
    ways: dict[Point, list[Point]] = defaultdict(list)
    for x, y in area:
        for beside, start, end in (
            ((x, y - 1), (x, y), (x + 1, y)),
            ((x + 1, y), (x + 1, y), (x + 1, y + 1)),
            ((x, y + 1), (x + 1, y + 1), (x, y + 1)),
            ((x - 1, y), (x, y + 1), (x, y)),
        ):
            if beside not in area:
                ways[start].append(end)
    loops = []
    while ways:
        at = begin = next(iter(ways))
        loop: list[Point] = []
        while not loop or at != begin:
            loop.append(at)
            ends = ways[at]
            after = ends.pop()
            if not ends:
                del ways[at]
            at = after
        loops.append([
            point for i, point in enumerate(loop)
            if not (loop[i - 1][0] == point[0] == loop[(i + 1) % len(loop)][0]
                    or loop[i - 1][1] == point[1] == loop[(i + 1) % len(loop)][1])
        ])  # fmt: skip
    return loops


def _curve(loop: list[Point]) -> str:
    """A closed path with every corner rounded, so that stairs become slopes."""
    parts: list[str] = []
    for i, at in enumerate(loop):
        near, far = _toward(at, loop[i - 1]), _toward(at, loop[(i + 1) % len(loop)])
        parts.append(f"{'L' if parts else 'M'}{near}Q{at[0]} {at[1]} {far}")
    return "".join(parts) + "Z"


def _toward(at: Point, other: Point) -> str:
    """Half the way to the next corner, or a pixel and a half."""
    way = abs(other[0] - at[0]) + abs(other[1] - at[1])
    share = min(0.5, 1.5 / way)
    return " ".join(f"{a + (b - a) * share:g}" for a, b in zip(at, other, strict=True))
