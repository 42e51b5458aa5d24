"""Blobs of the sandbox: addresses, redirects, uploads, and the pictures themselves."""

from __future__ import annotations

import base64
import io
import zipfile
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from PIL import Image

from civitai_skill.engines import catalog
from civitai_skill.engines.limits import limits
from civitai_skill.sandbox import Switches
from civitai_skill.sandbox.pictures import caption, render
from civitai_skill.sandbox.steps import check

BLOBS = "/v2/consumer/blobs"
FOX: dict[str, Any] = {
    "engine": "flux2", "model": "klein", "operation": "createImage", "prompt": "a fox", "seed": 5,
    "width": 512, "height": 512,
}  # fmt: skip
Play = Callable[..., Any]


AIR = "urn:air:sdxl:checkpoint:civitai:1@2"


def opened(data: bytes) -> Image.Image:
    picture = Image.open(io.BytesIO(data))
    picture.load()
    return picture


def encoded(kind: str, size: tuple[int, int] = (40, 30)) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size, "#406080").save(out, kind)
    return out.getvalue()


def made(client: Any, **fields: Any) -> dict[str, Any]:
    """The first picture of a workflow that has succeeded."""
    value = client.submit({**FOX, **fields}, wait=5).json()
    assert value["status"] == "succeeded"
    picture: dict[str, Any] = value["steps"][0]["output"]["images"][0]
    return picture


def keyless(client: Any, url: str, **how: Any) -> httpx.Response:
    """GET without the key."""
    with httpx.Client(transport=client.under, base_url=client.base_url, timeout=None) as other:
        return other.get(url, **how)


# -- addresses -------------------------------------------------------------------------------------
def test_a_signed_address_redirects_to_the_bytes_without_a_key(play: Play) -> None:
    client = play()
    picture = made(client)
    hop = keyless(client, picture["url"])
    assert (hop.status_code, hop.content) == (301, b"")
    assert hop.headers["Location"].startswith(f"{BLOBS}/content/")
    answer = keyless(client, picture["url"], follow_redirects=True)
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "image/jpeg")
    assert answer.headers["x-nsfw-level"] == "pg"
    assert opened(answer.content).size == (512, 512)


def test_a_blob_is_fetched_by_its_id_with_the_owners_key_only(play: Play) -> None:
    client = play(switches=Switches(blob_redirect=308))
    path = f"{BLOBS}/{made(client)['id']}"
    assert client.get(path).status_code == 308
    assert client.get(path, headers={"Authorization": "Bearer other"}).status_code == 404
    assert keyless(client, path).status_code == 401
    for level in ("pg", "na"):
        assert client.get(path, params={"nsfwLevel": level}).status_code == 308
    query = {"filename": "a/../fox.jpg", "download": "true"}
    answer = client.get(path, params=query, follow_redirects=True)
    assert answer.headers["Content-Disposition"] == 'attachment; filename="fox.jpg"'


def test_an_address_expires_and_is_renewed(play: Play) -> None:
    for code in (401, 403, 404):
        client = play(switches=Switches(url_lifetime=60, expired_url=code))
        picture = made(client)
        client.clock.sleep(61)
        assert keyless(client, picture["url"]).status_code == code
        fresh = client.post(f"{BLOBS}/{picture['id']}/refresh")
        assert (fresh.status_code, fresh.json()["id"]) == (200, picture["id"])
        assert keyless(client, fresh.json()["url"]).status_code == 301


def test_a_forged_address_is_refused(play: Play) -> None:
    client = play()
    url = made(client)["url"]
    assert keyless(client, url.replace("2027", "2099")).status_code == 403
    assert keyless(client, f"{BLOBS}/content/e30.CfDJ8").status_code == 400


def test_a_content_address_lives_for_minutes(play: Play) -> None:
    client = play()
    where = keyless(client, made(client)["url"]).headers["Location"]
    client.clock.sleep(301)
    assert keyless(client, where).status_code == 403


def test_a_picture_that_is_not_made_yet_is_not_found(play: Play) -> None:
    client = play(seconds_per_job=10)
    picture = client.submit(FOX).json()["steps"][0]["output"]["images"][0]
    assert (picture["available"], keyless(client, picture["url"]).status_code) == (False, 404)
    assert client.head(f"{BLOBS}/{picture['id']}").status_code == 404
    client.clock.sleep(11)
    assert client.head(f"{BLOBS}/{picture['id']}").status_code == 204


def test_the_address_of_a_mature_picture_may_be_blocked_while_its_id_works(play: Play) -> None:
    client = play(switches=Switches(mature_url_blocked=True))
    fields = {"prompt": "[sandbox:mature]"}
    value = client.submit({**FOX, **fields}, wait=5, allowMatureContent=True).json()
    picture = value["steps"][0]["output"]["images"][0]
    assert keyless(client, picture["url"], follow_redirects=True).status_code == 403
    assert client.get(f"{BLOBS}/{picture['id']}", follow_redirects=True).status_code == 200
    for level, code in (("r", 403), ("xxx", 301), ("na", 301), ("nb", 400)):
        query = {"nsfwLevel": level}
        assert client.get(f"{BLOBS}/{picture['id']}", params=query).status_code == code


# -- uploads ---------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", ["jpeg", "png", "webp"])
def test_an_upload_is_a_blob_at_once(play: Play, kind: str) -> None:
    client = play()
    data = encoded(kind)
    answer = client.post(BLOBS, content=data, headers={"Content-Type": f"image/{kind}"})
    blob = answer.json()
    assert (answer.status_code, blob["available"], blob["type"]) == (201, True, "image")
    assert (blob["width"], blob["height"]) == (40, 30)
    assert keyless(client, blob["url"], follow_redirects=True).content == data


@pytest.mark.parametrize(
    ("kind", "data", "status"),
    [
        ("text/plain", b"hello", 415),
        ("image/png", b"", 400),
        ("image/png", b"hello", 422),
        ("image/png", encoded("jpeg"), 422),
        ("image/png", b"\0" * (64 * 1024 * 1024 + 1), 413),
    ],
    ids=["type", "empty", "broken", "other", "large"],
)  # fmt: skip
def test_what_cannot_be_uploaded_is_refused(
    play: Play, kind: str, data: bytes, status: int
) -> None:
    client = play()
    answer = client.post(BLOBS, content=data, headers={"Content-Type": kind})
    assert answer.status_code == status


def test_a_presigned_address_takes_an_upload_without_a_key(play: Play) -> None:
    client = play()
    signed = client.get(f"{BLOBS}/upload").json()
    headers = {"Content-Type": "image/png"}
    with httpx.Client(transport=client.under) as other:
        answer = other.post(signed["uploadUrl"], content=encoded("png"), headers=headers)
        assert answer.status_code == 201
        client.clock.sleep(3601)
        late = other.post(signed["uploadUrl"], content=encoded("png"), headers=headers)
        assert late.status_code == 403
    assert client.get(f"{BLOBS}/{answer.json()['id']}").status_code == 301


def test_sources_tell_their_size_where_they_can(play: Play) -> None:
    client = play()
    data = encoded("png", (2000, 1000))
    inline = "data:image/png;base64," + base64.b64encode(data).decode()
    blob = client.post(BLOBS, content=data, headers={"Content-Type": "image/png"}).json()
    for source in (inline, blob["url"]):
        step = {"$type": "imageUpscaler", "input": {"image": source}}
        value = client.submit(step, wait=5).json()
        output = value["steps"][0]["output"]["blob"]
        assert (value["cost"]["total"], output["width"], output["height"]) == (4, 4000, 2000)


# -- pictures --------------------------------------------------------------------------------------
def drawn(**fields: Any) -> bytes:
    recipe = {
        "kind": "draw", "prompt": "a fox", "engine": "flux2 klein", "seed": 1, "sources": 0,
        "width": 64, "height": 64, "format": "png",
    }  # fmt: skip
    return render.render(recipe | fields, lambda source: None)


@pytest.mark.parametrize(
    "size", [(64, 64), (64, 4096), (4096, 64), (512, 768), (1344, 768), (65, 257)]
)
@pytest.mark.parametrize("kind", ["jpeg", "png", "webp"])
def test_pictures_have_exactly_the_size_and_format(size: tuple[int, int], kind: str) -> None:
    picture = opened(drawn(width=size[0], height=size[1], format=kind, prompt="a fox " * 30))
    assert (picture.size, picture.format) == (size, kind.upper())


def test_a_picture_follows_from_prompt_and_seed() -> None:
    assert drawn() == drawn()
    assert len({drawn(), drawn(seed=2), drawn(prompt="a hare"), drawn(engine="sdxl")}) == 4


def test_a_batch_counts_its_seeds_up(play: Play) -> None:
    client = play()
    value = client.submit({**FOX, "seed": 5, "quantity": 2}, wait=5).json()
    second = value["steps"][0]["output"]["images"][1]
    alone = made(client, seed=6)
    batch, single = (
        keyless(client, p["url"], follow_redirects=True).content for p in (second, alone)
    )
    assert batch == single


def test_every_picture_is_marked_and_says_what_made_it(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[tuple[str, str]] = []
    real = caption.write
    monkeypatch.setattr(
        caption,
        "write",
        lambda picture, prompt, facts: (
            written.append((prompt, facts)),
            real(picture, prompt, facts),
        ),
    )
    plain = opened(drawn(width=512, height=512))
    assert written == [("a fox", "flux2 klein · seed 1 · 512x512")]
    colours = dict(map(reversed, plain.getcolors(512 * 512)))  # type: ignore[arg-type]
    assert colours[255, 183, 3] > 300
    assert plain.info["parameters"].startswith("a fox\nSeed: 1, Size: 512x512")
    exif = opened(drawn(format="jpeg")).getexif().get_ifd(0x8769)[0x9286]
    assert "a fox\nSeed: 1" in exif.decode("utf-16-be", "replace")


def test_a_long_prompt_is_wrapped_and_ends_in_an_ellipsis() -> None:
    face = caption.load_font(12)
    assert caption.wrap("red fox in snow", face, 50) == ["red fox", "in snow"]
    assert "".join(caption.wrap("x" * 100, face, 50)) == "x" * 100
    opened(drawn(prompt="a fox in the snow " * 500))


def test_letters_that_no_font_has_are_spelt_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caption, "_installed", lambda: ())
    assert caption.find_face("Füchse, 狐") is None
    assert caption.spell("Füchse, 狐", None) == "Fuchse, <72D0>"
    opened(drawn(prompt="Füchse, 狐"))


def test_finishing_steps_work_on_the_picture_before(play: Play) -> None:
    client = play()
    source = {"$ref": "$0", "path": "output.images[0].url"}
    blur = {"type": "blur", "blur": 9, "mode": "include",
            "regions": [{"x1": 0, "y1": 0, "x2": 100, "y2": 100}]}  # fmt: skip
    output = {"format": "webp", "hideMetadata": False, "quality": 60}
    value = client.submit(
        FOX,
        {"$type": "imageUpscaler", "input": {"image": source}},
        {"$type": "imageBackgroundRemoval", "input": {"image": source}},
        {"$type": "convertImage", "input": {"image": source, "output": output,
         "transforms": [{"type": "resize", "targetWidth": 128}, blur]}},
        wait=5,
    ).json()  # fmt: skip
    large, cut, small = (
        opened(keyless(client, url, follow_redirects=True).content)
        for url in (
            value["steps"][1]["output"]["blob"]["url"],
            value["steps"][2]["output"]["image"]["url"],
            value["steps"][3]["output"]["blob"]["url"],
        )
    )
    assert (large.size, large.format) == ((1024, 1024), "JPEG")
    assert (cut.size, cut.mode) == ((512, 512), "RGBA")
    assert (cut.getchannel("A").getextrema(), small.size, small.format) == (
        (0, 255),
        (128, 128),
        "WEBP",
    )
    assert "Seed".encode("utf-16-be") in small.info["exif"]


def test_a_list_comes_as_a_zip_of_the_pictures_that_it_would_show(play: Play) -> None:
    client = play()
    made(client, prompt="[sandbox:mature]")  # held back
    mature = {**FOX, "prompt": "[sandbox:mature]"}
    value = client.submit(mature, wait=5, allowMatureContent=True).json()
    allowed = value["steps"][0]["output"]["images"][0]["id"]
    tame = made(client)["id"]

    def zipped(**query: str) -> list[str]:
        headers = {"Accept": "application/zip"}
        answer = client.get("/v2/consumer/workflows", headers=headers, params=query)
        with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
            return [name.rpartition("/")[2] for name in archive.namelist()]

    assert zipped() == [tame]
    assert zipped(hideMatureContent="false") == [tame, allowed]


def test_an_enlarged_picture_stays_within_bounds_whatever_its_shape(play: Play) -> None:
    client, output = play(), {"format": "webp", "hideMetadata": False}
    source = "data:image/png;base64," + base64.b64encode(encoded("png", (1, 300))).decode()
    blur = {"type": "blur", "blur": 1, "mode": "include",
            "regions": [{"x1": -(10**400), "x2": 10**400, "y1": 0, "y2": 10**30}]}  # fmt: skip
    changes = [{"type": "resize", "targetWidth": 4096}, blur]
    given = {"image": source, "transforms": changes, "output": output}
    value = client.submit({"$type": "convertImage", "input": given}, wait=5).json()
    url = value["steps"][0]["output"]["blob"]["url"]
    assert opened(client.get(url, follow_redirects=True).content).size == (27, 8192)


def test_every_form_of_every_engine_has_a_size_and_a_price(play: Play) -> None:
    client = play()
    for form in check.forms():
        given: dict[str, Any] = {**form.tags(), "prompt": "a fox"}
        for name, field in form.model_fields.items():
            if field.is_required() and name != "prompt" and form.alias(name) not in given:
                choices = limits(form)[name].choices
                given[form.alias(name)] = {
                    "images": ["https://example.org/a.png"], "image": "https://example.org/a.png",
                    "style_images": [], "steps": 20, "guidance": 5, "quantity": 1,
                }.get(name, choices[0] if choices else AIR)  # fmt: skip
        answer = client.submit(given, whatif=True)
        assert answer.status_code == 200, (given, answer.text)
        picture = answer.json()["steps"][0]["output"]["images"][0]
        assert picture["width"] >= 64
        assert answer.json()["cost"]["total"] > 0
    assert len(check.forms()) == sum(len(f.forms) for f in catalog.families())


@pytest.mark.parametrize(
    ("given", "size"),
    [
        ({"engine": "flux1-kontext", "model": "pro", "aspectRatio": "16:9"}, (1792, 1008)),
        ({"engine": "flux1-kontext", "model": "pro", "aspectRatio": "9:21"}, (1008, 2352)),
        ({"engine": "grok", "version": "v2.0", "operation": "createImage", "resolution": "1k",
          "aspectRatio": "2:1"}, (1456, 720)),
        ({"engine": "grok", "version": "v2.0", "operation": "createImage"}, (2048, 2048)),
        ({"engine": "fal", "model": "qwen2", "operation": "createImage",
          "imageSize": "portrait_16_9"}, (576, 1024)),
    ],
)  # fmt: skip
def test_forms_without_pixels_get_them_from_their_ratio(
    play: Play, given: Any, size: tuple[int, int]
) -> None:
    value = play().submit({**given, "prompt": "a fox"}, whatif=True).json()
    picture = value["steps"][0]["output"]["images"][0]
    assert (picture["width"], picture["height"]) == size
