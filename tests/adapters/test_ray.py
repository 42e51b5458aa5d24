"""Ray: two workers, one killed in the middle, nothing bought twice, nothing missing."""

from __future__ import annotations

import importlib
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from civitai_skill.errors import OverBudget, RequestInvalid
from tests.support.paths import ROOT

ray = pytest.importorskip("ray", reason="Ray is an extra of its own")
pytest.importorskip("ray.data")

import pyarrow  # noqa: E402

from civitai_skill.adapters.ray import TEMPLATE, _run_block, make_images  # noqa: E402
from civitai_skill.batch.results import Result  # noqa: E402

ROWS = 60

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    path = os.environ.get("PYTHONPATH", "")
    variables = {"PYTHONPATH": f"{ROOT}{os.pathsep}{path}", "CIVITAI_API_KEY": "benchmark"}
    ray.init(num_cpus=2, include_dashboard=False, runtime_env={"env_vars": variables})
    yield
    ray.shutdown()


@pytest.fixture
def fleet(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    yield importlib.import_module("fleet")
    sys.modules.pop("fleet", None)


def test_a_worker_that_is_killed_costs_nothing_and_loses_nothing(
    cluster: None, fleet: Any, tmp_path: Path
) -> None:
    workers = tmp_path / "workers"
    workers.mkdir()

    def noted(table: Any) -> Any:
        (workers / str(os.getpid())).touch()
        return table

    killed: list[int] = []
    with fleet.sandbox(tmp_path, 1.0) as box:

        def kill() -> None:
            until = time.monotonic() + 60
            while time.monotonic() < until and not killed:
                if box.account()["workflows"] >= ROWS // 4:
                    pid = int(next(iter(workers.iterdir())).name)
                    os.kill(pid, signal.SIGKILL)
                    killed.append(pid)
                time.sleep(0.05)

        killer = threading.Thread(target=kill)
        killer.start()
        given = ray.data.from_items(fleet.rows(ROWS)).map_batches(noted, batch_format="pyarrow")
        results = make_images(
            given, out=f"file://{tmp_path}/out", name="animals", block=6, in_flight=3,
            where={"base_url": box.url, "home": str(tmp_path / "home")},
        ).take_all()  # fmt: skip
        killer.join()
        account = box.account()

    assert len(killed) == 1
    assert sorted(r["prompt"] for r in results) == sorted(r["prompt"] for r in fleet.rows(ROWS))
    assert {r["status"] for r in results} == {"succeeded"}
    assert account["workflowsCharged"] == ROWS
    pictures = [Path(p.removeprefix("file://")) for r in results for p in r["pictures"]]
    assert len(set(pictures)) == ROWS
    for path in pictures:
        with Image.open(path) as picture:
            picture.load()
        assert path.with_suffix(".json").exists()


def test_bad_rows_and_a_whole_that_is_too_dear_are_refused_first(
    cluster: None, tmp_path: Path
) -> None:
    where = {"sandbox": True, "home": str(tmp_path / "home")}
    bad = ray.data.from_items([{"prompt": "x", "width": 63, "engine": "sdxl"}])
    with pytest.raises(RequestInvalid, match="row 'x', width"):
        make_images(bad, out=str(tmp_path), name="bad", where=where)
    dear = ray.data.from_items([{"prompt": "x"}])
    with pytest.raises(OverBudget):
        make_images(dear, out=str(tmp_path), name="dear", max_buzz=1, where=where)
    assert not (tmp_path / "home" / "sandbox.sqlite3").exists()


@pytest.mark.parametrize(
    "rows",
    [[{"prompt": "a"}, {"prompt": "a"}], [{"id": "x", "prompt": "a"}, {"id": "x", "prompt": "b"}]],
)
def test_rows_that_are_alike_are_refused(
    cluster: None, tmp_path: Path, rows: list[dict[str, str]]
) -> None:
    where = {"sandbox": True, "home": str(tmp_path / "home")}
    with pytest.raises(RequestInvalid, match="an id of its own"):
        make_images(ray.data.from_items(rows), out=str(tmp_path), name="d", block=1, where=where)


def test_a_second_try_is_one_however_often_the_results_are_looked_at(
    cluster: None, fleet: Any, tmp_path: Path
) -> None:
    with fleet.sandbox(tmp_path, 0.05) as box:
        given = ray.data.from_items([{"id": "1", "prompt": "x [sandbox:failed]"}])
        more = {"out": f"file://{tmp_path}/out", "name": "n",
                "where": {"base_url": box.url, "home": str(tmp_path / "home")}}  # fmt: skip
        make_images(given, **more).take_all()
        again = make_images(given, retry_failed=True, **more)
        assert (again.count(), len(again.take_all()), box.account()["workflows"]) == (1, 1, 2)


def made(tmp_path: Path, rows: list[dict[str, Any]], **changes: Any) -> list[dict[str, Any]]:
    """A block, made in this process."""
    given = {"name": "block", "template": TEMPLATE, "settings": {}, **changes}
    where = {"sandbox": True, "home": str(tmp_path / "home")}
    table = pyarrow.Table.from_pylist(rows, schema=pyarrow.schema([("prompt", pyarrow.string())]))
    found: list[dict[str, Any]] = _run_block(
        table, out=f"file://{tmp_path}/out", where=where, **given
    ).to_pylist()
    return found


def test_a_picture_is_brought_whatever_its_name(tmp_path: Path) -> None:
    (row,) = made(tmp_path, [{"prompt": "a fox"}], template="results.{key}-{n}")
    (picture,) = row["pictures"]
    assert Path(picture.removeprefix("file://")).exists()


def test_a_block_without_rows_has_no_results(tmp_path: Path) -> None:
    assert made(tmp_path, []) == []


def test_what_came_home_before_a_block_broke_off_is_brought(tmp_path: Path) -> None:
    def broken(told: Any) -> None:
        if isinstance(told, Result):
            raise RuntimeError("broken off")

    with pytest.raises((RuntimeError, ExceptionGroup)):
        made(tmp_path, [{"prompt": "a fox"}], settings={"tell": broken})
    assert len(list((tmp_path / "out").glob("*-0.*"))) == 2, "a picture and its note"


def test_a_key_that_is_only_spelled_is_no_name(tmp_path: Path) -> None:
    with pytest.raises(RequestInvalid) as refused:
        make_images(None, out=str(tmp_path), name="x", template="{{key}}-{n}")
    assert refused.value.field == "template"


def test_a_key_does_not_travel_with_the_work(cluster: None, tmp_path: Path) -> None:
    with pytest.raises(RequestInvalid) as refused:
        make_images(None, out=str(tmp_path), name="x", where={"key": "sk-secret"})
    assert "sk-secret" not in str(refused.value)
