"""Names that other programs have for samplers: what each backend calls them, and what a refusal of
one suggests. The expected ones are those of the tables that engines/samplers.py names."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from civitai_skill.engines.planning.plan import plan
from civitai_skill.engines.samplers import BACKENDS, Pair, find_pair, split_sampler
from civitai_skill.errors import RequestInvalid
from civitai_skill.schema.request import ImageRequest


@pytest.mark.parametrize(
    ("written", "schedule", "comfy", "sdcpp"),
    [
        ("DPM++ 2M Karras", None, Pair("dpmpp_2m", "karras"), Pair("dpm++2m", "karras")),
        ("DPM++ 2M", "Automatic", Pair("dpmpp_2m", "karras"), Pair("dpm++2m", "karras")),
        ("Euler A SGMUniform", None, Pair("euler_ancestral", "sgm_uniform"),
         Pair("euler_a", "sgm_uniform")),
        ("sample_dpmpp_sde_gpu", "beta", Pair("dpmpp_sde", "beta"), None),
        ("euler_ancestral_karras", None, Pair("euler_ancestral", "karras"),
         Pair("euler_a", "karras")),
        ("DDIM", None, Pair("ddim", "normal"), Pair("ddim_trailing", "discrete", near=True)),
        ("LCM", None, Pair("lcm", "normal"), Pair("lcm", "discrete")),
        ("Euler", "Align Your Steps", None, Pair("euler", "ays")),
        ("DPM++ 2M Turbo", None, None, None),
        ("Euler SMEA", None, None, None),
        ("my sampler", None, None, None),
    ],
)  # fmt: skip
def test_a_name_and_a_schedule_are_what_each_backend_calls_them(
    written: str, schedule: str | None, comfy: Pair | None, sdcpp: Pair | None
) -> None:
    assert find_pair(written, schedule, "comfy") == comfy
    assert find_pair(written, schedule, "sdcpp") == sdcpp


def test_every_name_of_the_table_is_read_as_the_table_says(remix_cases: Path) -> None:
    table = json.loads((remix_cases / "samplers.json").read_text())
    for row in table["written_in_one"]:
        found = split_sampler(row["written"])
        assert found is not None
        assert (found[0].name, found[1]) == (row["sampler"], row["schedule"])
        for backend in BACKENDS:
            pair = find_pair(row["written"], None, backend)
            exact = None if pair is None or pair.near else [pair.sampler, pair.scheduler]
            assert exact == row[backend], row
    own = {"Undefined", "Default"}  # they leave the choice to the model
    for name, row in table["samplers"].items():
        for word in {name, *row["also_written"]} - {"Same as primary"} if name not in own else ():
            found = split_sampler(word)
            assert found is not None, word
            assert (found[0].name, found[1]) == (name, None)


@pytest.mark.parametrize(
    ("engine", "sampler", "near"),
    [
        ("sdxl", "DPM++ 2M Karras", {"sampler": "dpm++2m", "scheduler": "karras"}),
        ("sdxl", "DPM++ SDE Karras", {"sampler": "dpmpp_sde", "scheduler": "karras"}),
        ("ernie", "Euler a", {"sampler": "euler_ancestral"}),
        ("sdxl", "Restart", {"sampler": "dpm++2m"}),
        ("sdxl", "my own", {}),
    ],
)
def test_the_nearest_of_a_sampler_is_a_pair_that_is_taken(
    engine: str, sampler: str, near: dict[str, str]
) -> None:
    with pytest.raises(RequestInvalid) as refused:
        plan(ImageRequest(prompt="a fox", engine=engine, sampler=sampler))
    nearest = {p.field: p.nearest for p in refused.value.problems if p.nearest is not None}
    assert nearest == near
    if near:
        asked = ImageRequest(prompt="a fox", engine=engine).model_copy(update=near)
        assert plan(asked).form.sampler == near["sampler"]  # type: ignore[attr-defined]
