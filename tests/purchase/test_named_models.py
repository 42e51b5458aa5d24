"""A request that names its models: by page, number, hash or name, on every way to a purchase."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from civitai_skill import Civitai, RequestInvalid, ServerError, build_workflow, run_batch
from civitai_skill.api.service import Retry
from civitai_skill.sandbox import Fault
from civitai_skill.sandbox.site import catalogue
from tests.support.models import Counting
from tests.support.sandbox import submits

PAGE = "https://civitai.com/models"
INK = "urn:air:sdxl:lora:civitai:9101@91012"
PIXEL = "urn:air:sdxl:lora:civitai:9105@91051"


@pytest.fixture
def wire() -> Counting:
    return Counting()


@pytest.fixture
def client(wire: Counting, tmp_path: Path) -> Iterator[Civitai]:
    retry = Retry(tries=2, first=0.01, cap=0.01)
    with Civitai(sandbox=True, home=tmp_path / "home", transport=wire, retry=retry) as opened:
        yield opened


def form(client: Civitai, **given: Any) -> Any:
    """What a request becomes."""
    plan = client.estimate("a fox", **given).plan
    assert plan is not None
    return plan


@pytest.mark.parametrize(
    "named",
    [
        f"{PAGE}/9101?modelVersionId=91012=0.8",
        f"{PAGE.replace('.com', '.red')}/9101/ink-wash?modelVersionId=91012=0.8",
        "https://civitai.com/api/download/models/91012=0.8",
        "civitai:9101@91012=0.8",
        {"air": f"{PAGE}/9101", "strength": 0.8},
        "name:Ink Wash XL 2=0.8",
        f"{INK}=0.8",
        f"{catalogue.hashes(catalogue.VERSIONS[91012][1])['AutoV3'].lower()}=0.8",
    ],
)
def test_every_way_to_name_a_lora_leads_to_its_air(client: Civitai, named: Any) -> None:
    plan = form(client, engine="sdxl", loras=[named])
    assert plan.form.loras == {INK: 0.8}
    assert plan.warnings[0].endswith("lacks its trigger words: inkwash style | wet paper.")


def test_a_page_becomes_a_picture_whose_sidecar_holds_the_air(
    client: Civitai, wire: Counting, tmp_path: Path
) -> None:
    """The engine is what the models are made for, where none is said."""
    made = client.generate(
        "a fox", loras=[f"{PAGE}/9105"], model="name:larkspur xl", trigger=True, out=tmp_path,
        notes=True,
    )  # fmt: skip
    assert (made.engine, made.variant, made.warnings) == ("sdxl", "base", ())
    assert f"{PAGE}/9105 is Pixel Grid v1.0, {PIXEL}." in made.notes
    sidecar = json.loads(made.paths[0].with_suffix(".json").read_text())["request"]
    assert sidecar == {
        "engine": "sdxl",
        "loras": [{"air": PIXEL, "strength": 1}],
        "model": "urn:air:sdxl:checkpoint:civitai:9001@90012",
        "prompt": "a fox, pixel art",
    }
    # Asked for by AIR the same is meant, and the site is not asked twice within a day.
    given = {"loras": [PIXEL], "model": sidecar["model"], "out": tmp_path}
    for _ in range(2):
        asked = list(wire.asked)
        plan = client.preview("a fox, pixel art", **given).plan
        assert plan is not None
        assert plan.form.loras == {PIXEL: 1}  # type: ignore[attr-defined]
    assert wire.asked == asked


def test_what_the_site_says_counts_and_not_what_was_typed(client: Civitai) -> None:
    plan = form(client, engine="sd1", loras=["urn:air:sdxl:lora:civitai:9107@91071"])
    assert plan.form.loras == {"urn:air:sd1:lycoris:civitai:9107@91071": 1}
    assert "by the site" in plan.notes[0]
    with pytest.raises(RequestInvalid) as refused:
        form(client, engine="sdxl", loras=["urn:air:sdxl:lora:civitai:9101@91011"])
    assert "made for SD 1.5, which sd1 takes" in refused.value.message
    assert refused.value.nearest == INK  # a version of it that fits


@pytest.mark.parametrize(
    ("given", "field", "words"),
    [
        ({"loras": ["Ink Wash"]}, "loras.0.air", "bare name"),
        ({"loras": ["name:Detail Dial"], "engine": "sdxl"}, "loras.0.air", "several models bear"),
        ({"loras": ["name:Pixel"]}, "loras.0.air", PIXEL),
        ({"loras": ["name:no such thing"]}, "loras.0.air", "no model that can be generated with"),
        ({"loras": [f"{PAGE}/9105"], "engine": "flux2"}, "loras.0.air", "which sdxl takes"),
        ({"loras": ["civitai:9105@91012"]}, "loras.0.air", "of model 9101"),
        ({"model": f"{PAGE}/9105"}, "model", "the field loras"),
        ({"model": f"{PAGE}/9007"}, "model", "not enabled for generation"),
        ({"model": f"{PAGE}/9008"}, "model", "deleted"),
        ({"model": f"{PAGE}/9009"}, "model", "in early access until"),
        ({"model": "name:Night Market"}, "model", "no model that can be generated with"),
        ({"embeddings": ["0123456789"], "engine": "sd1"}, "embeddings.0", "deleted"),
        ({"model": "ponyDiffusionV6XL"}, "model", "engine sdxl with variant pony"),
        ({"vae": "huggingface:a/b", "engine": "sd1"}, "vae", "only models of Civitai's"),
    ],
)
def test_what_is_not_clear_or_not_to_be_had_is_refused(
    client: Civitai, wire: Counting, given: dict[str, Any], field: str, words: str
) -> None:
    with pytest.raises(RequestInvalid) as refused:
        client.generate("a fox", **given)
    assert refused.value.field == field
    assert words in refused.value.message
    assert submits(wire.sandbox) == 0


def test_a_mature_model_has_a_name_only_where_mature_content_is_allowed(client: Civitai) -> None:
    plan = client.estimate("a fox", model="name:Night Market", allow_mature_content=True).plan
    assert plan is not None
    assert plan.form.model == "urn:air:sdxl:checkpoint:civitai:9010@90101"


def test_trigger_words_are_told_or_added(client: Civitai) -> None:
    many = form(client, loras=["civitai:9106@91061"])
    assert "lacks one of its trigger words: mirabel, uniform | mirabel, armour" in many.warnings[0]
    added = form(client, loras=["civitai:9106@91061", f"{PAGE}/9105"], trigger=True)
    assert added.form.prompt == "a fox, mirabel, uniform, pixel art"
    assert "its other trigger words: mirabel, armour" in added.warnings[0]
    there = client.estimate("Pixel  Art of a fox", loras=[f"{PAGE}/9105"], trigger=True).plan
    assert there is not None
    assert (there.form.prompt, there.warnings) == ("Pixel  Art of a fox", ())  # type: ignore[attr-defined]
    # Most embeddings are for the negative prompt, so their words are told and never added.
    hands = form(client, engine="sd1", embeddings=[f"{PAGE}/9201"], trigger=True)
    assert "prompt or negative_prompt lacks its trigger words: clearhands" in hands.warnings[0]
    assert form(client, trigger=True).notes == ("No LoRA is named, so there are no trigger words.",)


def test_a_dead_site_stops_no_purchase_that_has_its_airs(
    client: Civitai, wire: Counting, tmp_path: Path
) -> None:
    wire.sandbox.script(Fault("site", "status", status=503, times=None))
    made = client.generate("a fox", loras=[INK, PIXEL], engine="sdxl", out=tmp_path)
    assert len(made.paths) == 1
    assert made.notes[0].startswith(f"{INK} was not checked, because the site gave no answer")
    assert len(made.notes) == 1  # it is not asked about the other one
    with pytest.raises(ServerError) as failed:
        client.generate("a fox", loras=[f"{PAGE}/9105"], engine="sdxl", out=tmp_path)
    assert failed.value.spent == "no"
    with pytest.raises(ServerError):  # the words can't be had
        client.generate("a fox", loras=[INK], engine="sdxl", trigger=True, out=tmp_path)
    assert submits(wire.sandbox) == 1


def test_nothing_is_looked_up_where_nobody_can_be_asked() -> None:
    with pytest.raises(RequestInvalid, match="looked up only where the site can be asked"):
        build_workflow({"prompt": "a fox", "loras": [f"{PAGE}/9105"]})
    body = build_workflow({"prompt": "a fox", "loras": [PIXEL]})
    assert body["steps"][0]["input"]["ecosystem"] == "sdxl"


def test_a_batch_looks_each_reference_up_once(
    client: Civitai, wire: Counting, tmp_path: Path
) -> None:
    rows = [
        {"prompt": f"a fox {n}", "loras": f"{PAGE}/9105=0.5 name:Linen", "engine": "sdxl"}
        for n in range(6)
    ]
    table = tmp_path / "rows.csv"
    with table.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    report = run_batch(table, out=tmp_path / "out", client=client, max_buzz=500)
    assert [result.status for result in report.results] == ["succeeded"] * 6
    assert len(wire.asked) == len(set(wire.asked)) <= 12
    assert any("trigger words: pixel art" in text for text in report.plan.warnings)
    with pytest.raises(RequestInvalid) as refused:
        run_batch(
            [{"prompt": "a", "loras": ["name:Detail Dial"]}, {"prompt": "b", "steps": 5000}],
            client=client,
        )
    assert [problem.field[:7] for problem in refused.value.problems] == ["line 1,", "line 2,"]
