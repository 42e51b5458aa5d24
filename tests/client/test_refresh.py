"""What the service publishes is fetched, kept, and used: documents good and bad, the catalogue."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from civitai_skill import (
    AsyncCivitai,
    Civitai,
    RequestInvalid,
    Retry,
    Settings,
    TransportFailed,
    choose_engine,
    describe_engine,
    list_engines,
)
from civitai_skill.api.published import LARGEST, PATH
from civitai_skill.client.refresh import Refreshed
from civitai_skill.engines import catalog
from civitai_skill.engines.cards import card, table
from civitai_skill.engines.published import kept
from civitai_skill.sandbox import Sandbox, Switches
from civitai_skill.sandbox.document import published

AURORA = "comfy/aurora/sketch"
RETRY = Retry(tries=2, first=0.001, cap=0.002)
FIRST = f"https://orchestration.civitai.com{PATH}"
SECOND = f"https://developer.civitai.com{PATH}"


@pytest.fixture
def client(tmp_path: Path) -> Any:
    box = Sandbox(switches=Switches(tomorrow=True), seconds_per_job=0.02)
    with Civitai(sandbox=box, home=tmp_path / "home", retry=RETRY) as opened:
        yield opened


def test_a_refresh_tells_what_is_new_and_it_works_from_then_on(
    client: Civitai, tmp_path: Path
) -> None:
    with pytest.raises(RequestInvalid, match="no such engine"):
        client.estimate("a fox", engine=AURORA)

    found = client.refresh_engines()

    assert (found.known, found.forms, found.new, found.troubles) == (125, 127, (AURORA,), ())
    assert {(c.field, c.what, c.theirs) for c in found.changed} == {
        ("glow", "new field", "number"),
        ("sampleMethod", "new value", "euler_next"),
    }
    assert found.unavailable == ("grok v1.0 (create)",)
    assert "google imagen4 (create)" in found.deprecated
    assert AURORA in found.text()
    kept_file = tmp_path / "home" / "sandbox-engines.json"
    assert kept_file.stat().st_size < len(json.dumps(published(True))) / 4
    assert not (tmp_path / "home" / "engines.json").exists()  # the service's own is another file

    # A new engine is listed, described and bought by its name, and marked everywhere.
    listed = {engine["name"]: engine for engine in list_engines()}
    assert listed[AURORA]["best_for"] == []
    assert listed[AURORA]["unfamiliar"].startswith("the sandbox's published document, read on ")
    assert "unfamiliar" not in listed["flux2"]
    assert f"| `{AURORA}` | default | create, edit | ?, ?, ? | new, no guidance" in table()
    told = describe_engine("Comfy Aurora Sketch")
    assert (told["name"], told["qualities"], told["variants"][0]["buzz"]) == (AURORA, {}, None)
    assert "No guidance" in card(AURORA)

    bought = client.generate(
        "a fox", engine=AURORA, aspect_ratio="16:9", options={"mood": "wild"}, seed=7, out=tmp_path
    )
    assert (bought.pictures[0].width, bought.pictures[0].height) == (1280, 720)
    assert (bought.engine, bought.variant) == (AURORA, "default")
    assert "known only from the sandbox's published document" in bought.warnings[0]

    mask = bought.paths[0]
    edit = client.generate(
        "a wolf", engine=AURORA, images=[bought.paths[0]], mask=mask, quantity=2, guidance=5,
        loras=[{"air": "urn:air:aurora:lora:civitai:1@2"}], options={"imageSize": "poster"},
        out=tmp_path,
    )  # fmt: skip
    assert [(p.width, p.height) for p in edit.pictures] == [(768, 1152)] * 2
    sent = edit.workflow.raw["steps"][0]["input"]
    assert sent["operation"] == "editImage"
    assert sent["maskImage"].startswith("data:image/jpeg")
    assert (sent["numImages"], sent["guidanceScale"]) == (2, 5)
    assert any("loras went unchecked" in warning for warning in edit.warnings)


def test_what_is_new_in_a_known_form_is_passed_with_a_warning(client: Civitai) -> None:
    client.refresh_engines()
    quote = client.estimate(
        "a fox", engine="z-image", variant="turbo", sampler="euler_next", options={"glow": 0.4}
    )
    assert quote.total == 8
    assert quote.plan.price.buzz is None  # the rule is older than what was asked for
    assert [w.partition(" is known only")[0] for w in quote.plan.warnings] == [
        "options.glow",
        "sampler euler_next",
    ]
    # What is not new stays as it was, rule and all.
    plain = client.estimate("a fox", engine="z-image", variant="turbo")
    assert (plain.plan.price.buzz, plain.plan.warnings) == (8, ())


@pytest.mark.parametrize(
    ("asked", "near"),
    [
        ({"engine": "comfy/aurora/sketh"}, AURORA),
        ({"engine": "aurora"}, AURORA),
        ({"engine": AURORA, "options": {"moood": "wild"}}, "mood"),
        ({"engine": AURORA, "options": {"mood": "wld"}}, "wild"),
        ({"engine": AURORA, "aspect_ratio": "21:9"}, "16:9"),
        ({"engine": "z-image", "options": {"glw": 1}}, "glow"),
        ({"engine": "z-image", "sampler": "euler_nxt"}, "euler_next"),
    ],
)
def test_what_neither_knows_is_refused_with_its_nearest(
    client: Civitai, asked: dict[str, Any], near: str
) -> None:
    client.refresh_engines()
    with pytest.raises(RequestInvalid) as refused:
        client.estimate("a fox", **asked)
    assert refused.value.nearest == near


def test_a_refusal_of_the_service_is_shown_as_one_and_buys_nothing(
    client: Civitai, tmp_path: Path
) -> None:
    client.refresh_engines()
    today = Civitai(sandbox=Sandbox(), home=tmp_path / "home", retry=RETRY)
    with today, pytest.raises(Exception, match="service refused the request") as refused:
        today.generate("a fox", engine=AURORA, out=tmp_path)
    assert (refused.value.code, refused.value.exit_code, refused.value.spent) == (
        "refused_by_service", 2, "no",
    )  # fmt: skip


# -- the catalogue ---------------------------------------------------------------------------------
def test_fresh_figures_of_the_catalogue_replace_ours_and_say_whose_they_are(
    client: Civitai, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = choose_engine(["fastest"])[0]
    assert before.measured is not None
    assert before.measured.source == "the service's catalogue"
    client.refresh_engines()
    choice = choose_engine(["fastest"])[0]
    assert choice.measured is not None
    assert (choice.measured.p50, choice.measured.source) == (0.02, "the sandbox's catalogue")
    assert "the sandbox's catalogue" in choice.as_dict()["seconds"]
    figures = next(e["catalogue"] for e in list_engines() if e["name"] == "grok")
    assert figures["source"] == "the sandbox's catalogue"
    assert {
        "variant": "v1.0", "operation": "create", "service": "image/grok/v1.0/createImage",
        "status": "unavailable", "deprecated": True, "success": 1, "seconds": 0.02, "slow": 0.02,
    } in figures["figures"]  # fmt: skip
    warned = client.estimate("a fox", engine="grok", variant="v1.0", retired=True).plan.warnings
    assert any("calls grok v1.0 unavailable and deprecated" in warning for warning in warned)

    monkeypatch.setattr(kept, "FRESH", kept.FRESH * 0)
    assert choose_engine(["fastest"])[0].measured == before.measured
    assert not any("catalogue" in engine for engine in list_engines())


# -- documents good and bad ------------------------------------------------------------------------
Answer = Callable[[httpx.Request], httpx.Response]


class Publisher(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """A service that publishes what the test says, and what was asked of it."""

    def __init__(self, documents: dict[str, Any], services: Any = ()) -> None:
        self.documents, self.services = documents, services
        self.asked: list[httpx.Request] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        url = request.url.copy_with(query=None)
        if url.path == "/v2/services":
            if self.services is None:
                return httpx.Response(503)
            offset = int(request.url.params["offset"])
            page = list(self.services)[offset : offset + 2]
            return httpx.Response(200, json={"items": page, "totalCount": len(self.services)})
        found = self.documents.get(str(url), 404)
        if isinstance(found, int):
            return httpx.Response(found)
        if isinstance(found, bytes):
            return httpx.Response(200, content=found)
        return httpx.Response(200, json=found)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return self.handle_request(request)


def refreshed(publisher: Publisher, home: Path) -> Refreshed:
    settings = Settings.load("key-that-must-not-travel", home=home)
    with Civitai(settings=settings, transport=publisher, retry=RETRY) as client:
        return client.refresh_engines()


_HUGE = b'{"a": "' + b"x" * LARGEST + b'"}'


@pytest.mark.parametrize(
    "bad", [404, 500, b"<html>sign in</html>", b"[]", b'{"components": {}}', _HUGE],
    ids=["404", "500", "html", "list", "no schemas", "too large"],
)  # fmt: skip
def test_a_bad_document_leaves_the_last_in_force_and_the_second_place_is_tried(
    bad: Any, tmp_path: Path
) -> None:
    good = {FIRST: published(True)}
    assert refreshed(Publisher(good), tmp_path).new == (AURORA,)

    publisher = Publisher({FIRST: bad, SECOND: bad})
    found = refreshed(publisher, tmp_path)
    assert (found.document, found.new) == ("", (AURORA,))
    assert "could not be had" in found.troubles[0]
    assert AURORA in catalog.names()
    places = [str(r.url) for r in publisher.asked if r.url.path == PATH]
    assert list(dict.fromkeys(places)) == [FIRST, SECOND]
    assert not any("authorization" in r.headers for r in publisher.asked)

    found = refreshed(Publisher({FIRST: bad, SECOND: published(False)}), tmp_path)
    assert (found.document, found.new, found.troubles) == (SECOND, (), ())
    assert AURORA not in catalog.names()


def test_where_neither_can_be_had_it_is_an_error_and_a_broken_file_counts_as_none(
    tmp_path: Path,
) -> None:
    with pytest.raises(TransportFailed, match="could not be had"):
        refreshed(Publisher({}, None), tmp_path)
    assert not (tmp_path / "engines.json").exists()

    file = tmp_path / "engines.json"
    for text in ("", "[]", "{", '{"layout": 1}', '{"layout": 99}'):
        file.write_text(text)
        assert kept.in_force(file) == kept.NOTHING
    found = refreshed(Publisher({FIRST: published(True)}, None), tmp_path)
    assert found.new == (AURORA,)
    assert "status 503" in found.troubles[0]


async def test_every_page_of_the_catalogue_is_read_and_odd_lines_are_survived(
    tmp_path: Path,
) -> None:
    line = {
        "id": "image/seedream/v4.5",
        "parameters": {"engine": "seedream", "version": "v4.5"},
        "status": "degraded",
        "tags": ["deprecated"],
        "metrics": {
            "successRate": 0.986,
            "costBuzz": {"p50": 60, "p80": 120},
            "latencySeconds": {"p50": 46, "p80": 71, "p95": 182},
        },
    }
    twin = {
        "id": "image/comfy/chroma/x", "parameters": {"engine": "comfy", "ecosystem": "x"},
        "status": "unavailable",
    }  # fmt: skip
    odd: list[Any] = [twin, "image", {"id": 3}, {**line, "id": "x", "parameters": {}}]
    bare = {"id": "image/grok", "parameters": {"engine": "grok"}, "metrics": {"costBuzz": None}}
    publisher = Publisher({FIRST: published(False)}, [*odd, bare, line])
    settings = Settings.load("key", home=tmp_path)
    async with AsyncCivitai(settings=settings, transport=publisher, retry=RETRY) as client:
        found = await client.refresh_engines()

    assert found.services == 4
    assert found.unavailable == ("image/comfy/chroma/x",)
    assert found.deprecated == ("seedream v4.5 (create)", "seedream v4.5 (edit)")
    figure = kept.in_force().figure("seedream", "v4.5", "create")
    assert figure is not None
    assert (figure.success, figure.buzz, figure.seconds, figure.slow) == (0.986, 60, 46, 182)
    offsets = [r.url.params["offset"] for r in publisher.asked if r.url.path == "/v2/services"]
    assert offsets == ["0", "2", "4"]
    choice = choose_engine(["photo"], engines=["seedream"], take=9)
    (v45,) = [c.as_dict() for c in choice if c.variant == "v4.5"]
    assert v45["paid"].startswith("60 Buzz at the median (the service's catalogue, 20")
    assert v45["seconds"].startswith("46, rarely over 182; 98.6% succeed (the service's catalogue")
