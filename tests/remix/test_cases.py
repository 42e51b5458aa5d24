"""Other programs' generation data, read twice by others: we read it in the same way."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from civitai_skill.remix.fit import fit
from civitai_skill.remix.reading import Reading
from civitai_skill.remix.site import read_answer
from civitai_skill.remix.texts import read_any

#: What a reading says beyond what a case tells of.
MAY_BE_MORE = {"dialect", "sdcpp", "comfy", "sampler", "schedule"}


def read(case: dict[str, Any]) -> Reading | None:
    if "answer" in case:
        return read_answer(case["answer"])
    return read_any(case["text"] if "text" in case else json.dumps(case["graph"]))


def test_every_case_is_read_right_and_fits_an_engine(remix_cases: Path) -> None:
    paths = sorted(p for p in remix_cases.glob("*.json") if p.stem != "samplers")
    assert len(paths) >= 28
    wrong = []
    for path in paths:
        case = json.loads(path.read_text(encoding="utf-8"))
        reading = read(case)
        assert reading is not None, path.name
        found, expected = reading.as_dict(), case["expect"]
        wrong += [
            (path.name, name, found.get(name), value)
            for name, value in expected.items()
            if name not in found or found[name] != value
        ]
        more = {n: v for n, v in found.items() if n not in expected and v not in (None, [], "")}
        wrong += [(path.name, name, v, None) for name, v in more.items() if name not in MAY_BE_MORE]
        for said in ({}, {"engine": "flux2"}):
            fitted = fit(reading, [], said)
            assert fitted.fields["prompt"] == "" or fitted.refusal is None, path.name
    assert wrong == []
