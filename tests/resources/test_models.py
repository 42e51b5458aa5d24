"""Models by number, hash, name and search, over the sandbox's site; what it says oddly, and when it
says nothing."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from civitai_skill.api.drivers import adrive, drive
from civitai_skill.api.service import Flow, Together
from civitai_skill.errors import RequestInvalid, ServerError
from civitai_skill.resources.records import read_model, read_resource
from civitai_skill.resources.search import find_by_name, search
from civitai_skill.resources.takers import ecosystem_of, find_takers
from civitai_skill.sandbox import Fault
from tests.support.models import Asked


@pytest.fixture
def asked(tmp_path: Path) -> Iterator[Asked]:
    with_cache = Asked(tmp_path, clock=lambda: 1000.0)
    yield with_cache
    with_cache.client.close()


def airs(found: Any) -> list[str]:
    return [one.air for one in found.models]


def test_a_search_gives_only_what_will_be_accepted(asked: Asked) -> None:
    site = asked.site()
    loras = asked.run(search(site, type="lora", engine="SDXL"))
    assert [(one.label, one.triggers) for one in loras.models][:3] == [
        ("Detail Dial v1.0", ()),
        ("Ink Wash XL 2", ("inkwash style", "wet paper")),
        ("Pixel Grid v1.0", ("pixel art",)),
    ]
    assert not loras.more
    assert {one.kind for one in loras.models} == {"lora"}
    assert all(str(one.takers[0]) == "sdxl" and not one.refusal for one in loras.models)
    # One can't be generated with, one is deleted, one taken down, one sold, one of another family.
    for gone in ("closed garden", "vanished", "unseen", "tomorrow", "film cutter"):
        assert airs(asked.run(search(site, gone))) == []
    assert airs(asked.run(search(site, "backstage"))) == []
    mature = asked.run(search(site, "backstage", mature=True)).models
    assert [one.mature for one in mature] == [True]
    first = asked.run(search(site, type="checkpoint", sort="downloads", take=1))
    assert (airs(first), first.more) == (["urn:air:sd1:checkpoint:civitai:9004@90041"], True)
    newest = asked.run(search(site, type="vae", sort="newest"))
    assert airs(newest)[0] == "urn:air:sdxl:vae:civitai:9302@93021"


def test_a_page_without_hits_is_not_the_end(asked: Asked) -> None:
    """With a query the site cuts each page of six hits; what fits stands on the second."""
    site = asked.site()
    found = asked.run(search(site, "made", type="lora", engine="z-image"))
    assert airs(found) == ["urn:air:zimageturbo:lora:civitai:9110@91101"]
    lists = [path for path in asked.transport.asked if path.startswith("/api/v1/models?")]
    assert len(lists) == 2
    assert "baseModels=ZImageTurbo" in lists[0]
    assert all("supportsGeneration=true" in path for path in lists)


def test_facts_come_from_every_record_and_what_is_missing_is_named(asked: Asked) -> None:
    site = asked.site()
    (one,) = asked.run(search(site, "ink wash", engine="flux1")).models
    told = one.as_dict()
    assert told["about"] == "Brush and ink & wet paper."
    assert told["licence"]["commercial_use"] == ["Image", "RentCivit"]
    assert told["engines"] == [{"engine": "flux1"}]
    assert (told["downloads"], told["creator"], "not_said" in told) == (50_000, "made_up", False)
    (dial, other) = asked.run(search(site, "detail dial", engine="sdxl")).models
    assert dial.licence.commercial_use == ("Image", "RentCivit", "Rent", "Sell")
    assert other.creator == "somebody_else"
    (neon,) = asked.run(search(site, "turbo neon")).models
    assert (neon.extra_charge, neon.fee) == (True, {"perImage": 2})
    by_number = asked.run(site.by_version(91012))
    assert by_number.missing == ("creator", "about", "licence")
    assert by_number.page == "https://civitai.com/models/9101?modelVersionId=91012"


def test_a_file_is_found_by_any_of_its_hashes(asked: Asked) -> None:
    site = asked.site()
    one = asked.run(site.by_version(91051))
    for name, value in one.hashes.items():
        found = asked.run(site.by_hash(value.lower()))
        assert found.air == one.air, name
    # An embedding's twelve digits are the beginning of its SHA256.
    assert asked.run(site.by_hash(one.hashes["SHA256"][:12])).air == one.air
    assert asked.run(site.by_hash("0123456789AB")) is None
    before = len(asked.transport.asked)
    assert asked.run(site.by_hash("e3b0c44298fc")) is None  # the hash of nothing
    assert len(asked.transport.asked) == before


def test_a_name_is_found_only_where_one_model_bears_it(asked: Asked) -> None:
    site = asked.site()
    assert asked.run(find_by_name(site, "pixel-GRID")).found.version_id == 91051
    assert asked.run(find_by_name(site, "Ink Wash XL 2", engine="sdxl")).found.version_id == 91012
    twice = asked.run(find_by_name(site, "Detail Dial", kind="lora", engine="sdxl"))
    assert twice.found is None
    assert {one.creator for one in twice.candidates} == {"made_up", "somebody_else"}
    near = asked.run(find_by_name(site, "Pixel", kind="lora"))
    assert (near.found, [one.name for one in near.candidates]) == (None, ["Pixel Grid"])
    none = asked.run(find_by_name(site, "Larkspur XL", kind="lora"))
    assert (none.found, none.candidates) == (None, ())


def test_what_can_not_be_searched_for_is_refused_before_asking(asked: Asked) -> None:
    site = asked.site()
    for given, field in (
        ({"type": "lor"}, "type"),
        ({"sort": "best"}, "sort"),
        ({"take": 0}, "take"),
        ({"engine": "openai"}, "engine"),
        ({"engine": "qwen", "type": "vae"}, "engine"),
        ({"query": "x\n"}, "query"),
    ):
        with pytest.raises(RequestInvalid) as refused:
            asked.run(search(site, **given))
        assert refused.value.field == field
    with pytest.raises(RequestInvalid, match="the ecosystem that their AIRs name is not known"):
        asked.run(search(site, engine="wan"))
    assert asked.transport.asked == []


def test_an_answer_is_kept_for_a_day_and_no_longer(tmp_path: Path) -> None:
    now = [1000.0]
    asked = Asked(tmp_path, clock=lambda: now[0])
    first = asked.run(asked.site().by_version(91012))
    assert len(asked.transport.asked) == 2
    now[0] += 86_000
    assert asked.run(asked.site().by_version(91012)) == first
    assert len(asked.transport.asked) == 2
    now[0] += 1000
    assert asked.run(asked.site().by_version(91012)) == first
    assert len(asked.transport.asked) == 4
    # Where nothing can be kept, it is asked again.
    asked.cache = None
    assert asked.run(asked.site().by_version(91012)) == first
    asked.client.close()


def test_what_is_shown_is_asked_for_at_once_and_once(
    asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    together, real, lock = [0, 0], asked.transport.handle_request, threading.Lock()

    def answer(request: httpx.Request) -> httpx.Response:
        with lock:
            together[0] += 1
            together[1] = max(together)
        time.sleep(0.02)
        try:
            return real(request)
        finally:
            with lock:
                together[0] -= 1

    monkeypatch.setattr(asked.transport, "handle_request", answer)
    found = asked.run(search(asked.site(), take=3)).models
    paths = asked.transport.asked
    # The page, then each of the three: its AIR and leave, and its words where the page lacks them.
    assert len(found) == 3
    assert len(paths) == len(set(paths)) <= 1 + 2 * 3
    assert together[1] > 1
    asked.run(search(asked.site(), take=3))
    assert asked.transport.asked == paths


async def test_flows_run_together_and_the_first_failure_is_raised() -> None:
    def flow(value: Any) -> Flow[Any]:
        yield 0.0
        if isinstance(value, Exception):
            raise value
        return value

    def all_of(*values: Any) -> Flow[Any]:
        return (yield Together([flow(value) for value in values]))

    with httpx.Client() as http:
        assert drive(all_of(*range(9)), http) == list(range(9))
        with pytest.raises(KeyError, match="first"):
            drive(all_of(1, KeyError("first"), ValueError("second")), http)
    async with httpx.AsyncClient() as web:
        assert await adrive(all_of(*range(9)), web) == list(range(9))
        with pytest.raises(KeyError, match="first"):
            await adrive(all_of(1, KeyError("first"), ValueError("second")), web)


def test_a_busy_site_is_waited_for_and_a_dead_one_is_said(asked: Asked) -> None:
    sandbox = asked.transport.sandbox
    sandbox.script(
        Fault("site", "status", status=503, retry_after=2), Fault("site", "status", status=429)
    )
    assert asked.run(asked.site().by_version(91012)) is not None
    sandbox.script(Fault("site", "status", status=503, times=None))
    with pytest.raises(ServerError) as failed:
        asked.run(asked.site().by_version(91051))
    assert failed.value.spent == "no"


def test_odd_answers_are_survived() -> None:
    assert read_model({}) is None
    odd = read_model({"id": 5, "name": None, "tags": "x", "modelVersions": [None, {"id": "x"}]})
    assert odd is not None
    assert (odd.name, odd.tags, odd.versions, odd.kind) == ("", (), (), "other")
    assert read_resource({}, {}) is None
    assert read_resource({"air": 5}, {"air": "no air at all"}) is None
    bare = read_resource({"air": "urn:air:sdxl:lora:civitai:1@2", "trainedWords": 3}, {})
    assert bare is not None
    assert (bare.unsure, bare.kind, bare.model_id, bare.version_id) == (True, "lora", 1, 2)
    assert {"can_generate", "mature", "base_model"} <= set(bare.missing)
    assert bare.as_dict()["air"] == "urn:air:sdxl:lora:civitai:1@2"


def test_takers_are_those_that_plan_it() -> None:
    assert [str(t) for t in find_takers("hidream", "lora")] == ["hidream i1-full"]
    assert [str(t) for t in find_takers("sd1", "embedding")] == ["sd1", "sdxl"]
    assert find_takers("wanvideo", "lora") == find_takers("sdxl", "upscaler") == ()
    bases = ("SD 1.5 LCM", "SDXL Lightning", "Flux.2 Klein 9B-base", "Pony", "Pony V7", "SD 3.5")
    assert [ecosystem_of(name) for name in bases] == [
        "sd1", "sdxl", "flux2klein9bbase", "pony", "ponyv7", None,
    ]  # fmt: skip
