"""Bringing pictures home: under names that are free, over nothing that is there already."""

from __future__ import annotations

from pathlib import Path

from civitai_skill.sandbox import Sandbox
from tests.support.ledger import client


def test_a_picture_that_its_owner_edited_is_not_overwritten(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with client(Sandbox(seconds_per_job=0.02), tmp_path) as buyer:
        made = buyer.generate("a fox", out=out)
        (path,), whole = made.paths, made.paths[0].read_bytes()
        path.write_bytes(b"edited")
        (again,) = buyer.download(made.workflow, out).paths
        assert buyer.download(made.workflow, out).paths == (again,)

    assert (path.read_bytes(), again.read_bytes()) == (b"edited", whole)
    assert sorted(out.iterdir()) == sorted([path, again])
