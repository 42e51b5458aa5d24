"""SVG that somebody else's model wrote: taken only where it shows curves and does nothing else.

A browser runs scripts in an SVG and fetches what it names. So what is not known to be harmless is
refused: scripts, foreign elements, handlers, references out of the file, entities.
"""

from __future__ import annotations

import math
import re
from typing import Any
from xml.etree import ElementTree

from civitai_skill.images.decode import FetchedPicture, Unreadable

#: Bytes; a traced picture of a megapixel has some hundred thousand.
MAX_BYTES = 16 * 1024 * 1024
_MOST_ELEMENTS = 200_000
_DEEPEST = 200

_SVG = "{http://www.w3.org/2000/svg}"
_ELEMENTS = frozenset({
    "svg", "g", "defs", "symbol", "use", "title", "desc", "metadata", "path", "rect", "circle",
    "ellipse", "line", "polyline", "polygon", "text", "tspan", "textPath", "image", "clipPath",
    "mask", "pattern", "marker", "linearGradient", "radialGradient", "stop", "style", "filter",
    "feBlend", "feColorMatrix", "feComponentTransfer", "feComposite", "feConvolveMatrix",
    "feDiffuseLighting", "feDisplacementMap", "feDistantLight", "feDropShadow", "feFlood",
    "feFuncA", "feFuncB", "feFuncG", "feFuncR", "feGaussianBlur", "feMerge", "feMergeNode",
    "feMorphology", "feOffset", "fePointLight", "feSpecularLighting", "feSpotLight", "feTile",
    "feTurbulence", "switch", "a", "view",
})  # fmt: skip
#: A picture inside the file, or a part of the file itself.
_INSIDE = re.compile(r"\s*(#|data:image/(png|jpeg|webp|gif);base64,)", re.IGNORECASE)
_LEADS_OUT = re.compile(
    r"url\(\s*[\"']?\s*(?!#|data:image/)|@import|expression\s*\(|javascript:|-moz-binding"
    r"|behavior\s*:|image-set|\\",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"\s*([0-9.]{1,12})\s*(px)?\s*")


def check_svg(data: bytes) -> FetchedPicture:
    """The file as it came, where it is an SVG that only shows something. Raises Unreadable."""
    if len(data) > MAX_BYTES:
        raise Unreadable(f"an SVG of more than {MAX_BYTES // 2**20} MiB")
    text = data.decode("utf-8-sig", errors="replace")
    if "�" in text or "<!DOCTYPE" in text.upper() or "<!ENTITY" in text.upper():
        raise Unreadable("an SVG with entities, or not in UTF-8")
    if re.search(r"<\?(?!xml\s)", text):
        raise Unreadable("an SVG with instructions to whoever reads it")
    root = _parse(text)
    if root.tag != f"{_SVG}svg":
        raise Unreadable("no SVG", broken=True)
    for element in root.iter():
        _check_element(element)
    return FetchedPicture(data, ".svg", _size_of(root))


def _parse(text: str) -> ElementTree.Element:
    """The tree of a text of bounded size and depth, without entities. Raises Unreadable."""
    parser: Any = ElementTree.XMLPullParser(["start", "end"])
    depth = count = 0
    root: ElementTree.Element | None = None
    try:
        for begin in range(0, len(text), 65_536):
            parser.feed(text[begin : begin + 65_536])
            for event, element in parser.read_events():
                root = element if root is None else root
                depth += 1 if event == "start" else -1
                count += event == "start"
                if depth > _DEEPEST or count > _MOST_ELEMENTS:
                    raise Unreadable("an SVG of too many parts")
        parser.close()
    except ElementTree.ParseError:
        raise Unreadable("no SVG, or a broken one", broken=True) from None
    if root is None:
        raise Unreadable("no SVG", broken=True)
    return root


def _check_element(element: ElementTree.Element) -> None:
    tag = str(element.tag)
    name = tag.removeprefix(_SVG)
    if tag.startswith(_SVG) and name not in _ELEMENTS:
        raise Unreadable(f"an SVG with {name[:40]}, which does more than show")
    if not tag.startswith(_SVG) and "{" in tag and "w3.org/1999/xhtml" in tag:
        raise Unreadable("an SVG with a web page inside")
    for key, value in element.attrib.items():
        bare = key.rpartition("}")[2].lower()
        if bare.startswith("on"):
            raise Unreadable("an SVG that runs scripts")
        leads = bare in ("href", "src") and not _INSIDE.match(value)
        if leads or bare == "base" or _LEADS_OUT.search(value):
            raise Unreadable("an SVG that fetches from elsewhere")
    if name == "style" and _LEADS_OUT.search(element.text or ""):
        raise Unreadable("an SVG that fetches from elsewhere")


def _size_of(root: ElementTree.Element) -> tuple[int, int]:
    """Its own pixels, or those of what it shows; 0 where it says neither."""
    sides = [_NUMBER.fullmatch(root.get(name, "")) for name in ("width", "height")]
    box = re.split(r"[\s,]+", root.get("viewBox", "").strip())
    told = [side[1] if side else "" for side in sides]
    if not all(told) and len(box) == 4:
        told = box[2:]
    try:
        width, height = (float(side) for side in told)
    except ValueError:
        return 0, 0
    fits = all(math.isfinite(side) and 0 < side < 10**6 for side in (width, height))
    return (round(width), round(height)) if fits else (0, 0)
