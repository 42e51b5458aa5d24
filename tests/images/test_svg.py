"""An SVG of somebody else's: taken where it only shows something."""

from __future__ import annotations

import pytest

from civitai_skill.images.decode import Unreadable
from civitai_skill.images.svg import check_svg

HEAD = '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'


def svg(inside: str, more: str = 'viewBox="0 0 40 20"') -> bytes:
    return f"{HEAD} {more}>{inside}</svg>".encode()


@pytest.mark.parametrize(
    ("data", "size"),
    [
        (svg('<path d="M0 0L9 9z" fill="#f00"/>'), (40, 20)),
        (svg("<g/>", 'width="64px" height="32"'), (64, 32)),
        (svg("<g/>", 'width="100%"'), (0, 0)),
        (b'<?xml version="1.0" encoding="UTF-8"?>\n<!-- traced -->' + svg("<rect/>"), (40, 20)),
        (svg('<use href="#a"/><rect fill="url(#b)"/>'), (40, 20)),
        (svg('<image href="data:image/png;base64,AA=="/>'), (40, 20)),
        (svg("<style>path { fill: url(#a) }</style>"), (40, 20)),
    ],
)
def test_what_only_shows_is_taken_as_it_came(data: bytes, size: tuple[int, int]) -> None:
    taken = check_svg(data)
    assert (taken.data, taken.suffix, taken.size) == (data, ".svg", size)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (svg("<script>alert(1)</script>"), "script"),
        (svg('<rect onload="alert(1)"/>'), "runs scripts"),
        (svg("<foreignObject/>"), "foreignObject"),
        (svg('<animate attributeName="href" to="javascript:a"/>'), "animate"),
        (svg('<image href="https://example.com/a.png"/>'), "elsewhere"),
        (svg('<a xlink:href="javascript:alert(1)"/>'), "elsewhere"),
        (svg('<rect style="fill: url(https://example.com/a)"/>'), "elsewhere"),
        (svg("<style>@import 'a.css';</style>"), "elsewhere"),
        (svg("<style>@\\69mport 'a.css';</style>"), "elsewhere"),
        (svg('<html xmlns="http://www.w3.org/1999/xhtml"/>'), "web page"),
        (b'<!DOCTYPE svg [<!ENTITY a "b">]>' + svg("&a;"), "entities"),
        (b'<?xml-stylesheet href="a.css"?>' + svg(""), "instructions"),
        (svg("<g>" * 300 + "</g>" * 300), "too many parts"),
        (svg("<g>"), "broken"),
        (b"<html></html>", "no SVG"),
        (b"", "no SVG"),
        (b"\xff\xfe<\0s\0", "UTF-8"),
    ],
)
def test_whatever_does_more_is_refused(data: bytes, why: str) -> None:
    with pytest.raises(Unreadable, match=why):
        check_svg(data)


def test_an_endless_one_is_refused_before_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("civitai_skill.images.svg.MAX_BYTES", 2**20)
    with pytest.raises(Unreadable, match="1 MiB"):
        check_svg(bytes(2**20 + 1))
