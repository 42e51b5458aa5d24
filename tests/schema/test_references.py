"""Every way to name a model, and what names none."""

from __future__ import annotations

import pytest

from civitai_skill.schema.references import parse_reference, split_strength

HASH = "A5F58EB1C3"


@pytest.mark.parametrize(
    ("text", "model", "version"),
    [
        ("urn:air:sdxl:lora:civitai:12@34", 12, 34),
        ("civitai:12@34", 12, 34),
        ("urn:air:sdxl:lora:huggingface:org/name@main", None, None),
        ("https://civitai.com/models/12", 12, None),
        ("https://civitai.com/models/12/a-slug?modelVersionId=34&utm=x", 12, 34),
        ("http://www.civitai.com/models/12?modelVersionId=nonsense", 12, None),
        ("https://civitai.red/models/12?modelVersionId=34#gallery", 12, 34),
        ("https://civitai.green/model-versions/34", None, 34),
        ("civitai.com/models/12", 12, None),
        (" https://civitai.com/api/download/models/34?type=Model ", None, 34),
        ("https://civitai.com/api/v1/model-versions/34", None, 34),
        ("https://civitaiarchive.com/models/12?modelVersionId=34", 12, 34),
        ("https://CIVARCHIVE.com/models/12", 12, None),
    ],
)
def test_numbers_are_read_from_every_form(
    text: str, model: int | None, version: int | None
) -> None:
    found = parse_reference(text)
    assert (found.model, found.version, found.name, found.hash) == (model, version, None, None)
    assert found.is_whole == text.startswith("urn:")


@pytest.mark.parametrize(
    ("text", "hash", "name"),
    [
        (HASH.lower(), HASH, None),
        ("A" * 64, "A" * 64, None),
        (f"https://civarchive.com/sha256/{'b' * 64}", "b" * 64, None),
        ("name: Detail Tweaker XL ", None, "Detail Tweaker XL"),
        ("NAME:水彩", None, "水彩"),
    ],
)
def test_hashes_and_names_are_told_apart(text: str, hash: str | None, name: str | None) -> None:
    found = parse_reference(text)
    assert (found.hash, found.name, found.model, found.version) == (hash, name, None, None)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("Detail Tweaker XL", "bare name"),
        ("12345", "bare name or number"),
        ("urn:air:sdxl:lora:civitai:5@67:0.8", r"this is urn:air:sdxl:lora:civitai:5@67, at 0.8"),
        ("", "bare name"),
        ("name: ", "no name"),
        ("https://civitai.com/images/5", "of a picture"),
        ("https://civitai.com/user/somebody", "of no model"),
        ("https://civitai.com.evil.example/models/12", "not an address on civitai.com"),
        ("https://civitai.com@evil.example/models/12", "not the plain https address"),
        ("https://evil.example\\@civitai.com/models/12", "not the plain https address"),
        ("https://civitai.com:8443/models/12", "not the plain https address"),
        ("ftp://civitai.com/models/12", "not the plain https address"),
        ("https://[civitai.com/models/12", "not the plain https address"),
        ("https://civitai.com/models/0", "of no model"),
        ("civitai:12@34\n", ""),
        ("name:a\x00b", "one line"),
        ("name:" + "x" * 600, "one line"),
    ],
)
def test_what_names_no_model_is_refused_with_the_reason(text: str, why: str) -> None:
    if not why:
        assert parse_reference(text).version == 34
        return
    with pytest.raises(ValueError, match=why):
        parse_reference(text)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("civitai:1@2", ("civitai:1@2", None)),
        ("civitai:1@2=0.8", ("civitai:1@2", "0.8")),
        ("https://civitai.com/models/1?modelVersionId=2", None),
        ("https://civitai.com/models/1?a=b&modelVersionId=2", None),
        (
            "https://civitai.com/models/1?modelVersionId=2=0.8",
            ("https://civitai.com/models/1?modelVersionId=2", "0.8"),
        ),
        ("https://civitai.com/models/1=1", ("https://civitai.com/models/1", "1")),
        ("name:a=b=0.5", ("name:a=b", "0.5")),
    ],
)
def test_a_strength_is_told_from_an_addresss_own_parameter(
    text: str, parts: tuple[str, str | None] | None
) -> None:
    assert split_strength(text) == (parts or (text, None))
