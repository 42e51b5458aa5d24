"""Whatever is named as a ledger: it is refused in words, and what is not ours stays as it is."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from civitai_skill.adapters.cli import main
from civitai_skill.errors import ConfigError, RequestInvalid
from civitai_skill.ledger.ledger import Ledger
from civitai_skill.sandbox import Sandbox
from tests.support.ledger import client, file_of, run
from tests.support.sandbox import net_charged


def begun(path: Path, **changes: Any) -> None:
    Ledger(path).begin(run("k", **changes), again=True, budget=None)


def a_folder(path: Path) -> None:
    path.mkdir(mode=0o755)


def a_text(path: Path) -> None:
    path.write_text("notes of mine\n" * 100)
    path.chmod(0o644)


def another_database(path: Path) -> None:
    with file_of(path) as db:
        db.execute("CREATE TABLE bookmarks (url TEXT)")
    path.chmod(0o644)


def a_loop(path: Path) -> None:
    path.symlink_to(path)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (a_folder, "it is a folder"),
        (a_text, "file is not a database"),
        (another_database, "it holds something else"),
        (a_loop, "symbolic links"),
    ],
)
def test_what_is_no_ledger_is_refused_in_words(
    tmp_path: Path, make: Callable[[Path], None], said: str
) -> None:
    path = tmp_path / "named"
    make(path)
    with pytest.raises(ConfigError, match=said):
        begun(path)


def test_only_a_regular_file_is_a_ledger(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    device = Path(os.devnull)
    before = device.stat().st_mode
    link = tmp_path / "link"
    link.symlink_to(device)
    for path in (pipe, device, link):
        for use in (begun, lambda path: Ledger(path).setting("budget")):
            with pytest.raises(ConfigError, match="not a regular file"):
                use(path)
    assert device.stat().st_mode == before
    assert not (device.parent / "owners").exists()


def test_a_ledger_in_memory_would_keep_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="keeps nothing"):
        begun(Path(":memory:"))
    assert main(["generate", "a fox", "--sandbox", "--ledger", ":memory:"]) == 3
    assert "keeps nothing" in capsys.readouterr().err
    assert list(tmp_path.glob("*.jpeg")) == []


@pytest.mark.parametrize("make", [a_folder, a_text])
def test_what_was_named_by_mistake_keeps_its_rights(
    tmp_path: Path, make: Callable[[Path], None]
) -> None:
    path = tmp_path / "named"
    make(path)
    before = path.stat().st_mode
    with pytest.raises(ConfigError):
        begun(path)
    assert path.stat().st_mode == before


def test_another_programs_database_gets_no_tables_of_ours(tmp_path: Path) -> None:
    path = tmp_path / "named"
    another_database(path)
    with pytest.raises(ConfigError):
        begun(path)
    with file_of(path) as db:
        assert db.execute("SELECT name FROM sqlite_master").fetchall() == [("bookmarks",)]


def test_a_place_below_a_loop_or_a_file_is_refused_in_words(tmp_path: Path) -> None:
    a_loop(tmp_path / "loop")
    a_text(tmp_path / "file")
    for folder in ("loop", "file"):
        with pytest.raises(ConfigError, match="can't be used"):
            begun(tmp_path / folder / "ledger.sqlite3")


def test_a_ledger_that_was_open_to_others_is_closed_with_all_that_belongs_to_it(
    tmp_path: Path,
) -> None:
    place, link = tmp_path / "place", tmp_path / "link.sqlite3"
    place.mkdir()
    link.symlink_to(place / "ledger.sqlite3")
    ledger = Ledger(link)
    ledger.begin(run("k"), again=True, budget=None)
    ours = [*place.glob("ledger.sqlite3*"), tmp_path / "owners"]
    assert len(ours) == 4
    for path in ours:
        path.chmod(0o755 if path.is_dir() else 0o644)

    again = Ledger(link)
    again.history()
    assert [oct(p.stat().st_mode & 0o077) for p in ours[:-1]] == ["0o0"] * 3


def test_locks_that_were_open_to_others_are_closed(tmp_path: Path) -> None:
    owners = tmp_path / "owners"
    owners.mkdir()
    owners.chmod(0o755)
    begun(tmp_path / "ledger.sqlite3")
    assert owners.stat().st_mode & 0o077 == 0
    assert tmp_path.stat().st_mode & 0o700 == 0o700, "the folder around it is the user's"


def test_what_no_ledger_can_hold_is_refused_in_words(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite3"
    odd = os.fsdecode(b"/tmp/\xff")
    with pytest.raises(ConfigError, match=r"it keeps text, and '/tmp/\\udcff' is none"):
        begun(path, out=odd)
    with pytest.raises(ConfigError, match="too large"):
        Ledger(path).history(limit=10**30)
    with pytest.raises(ConfigError, match="null"):
        begun(tmp_path / "a\0b")
    assert Ledger(path).history() == []


def test_a_folder_whose_name_is_no_text_is_refused_before_anything_is_bought(
    tmp_path: Path,
) -> None:
    box = Sandbox()
    with client(box, tmp_path) as buyer, pytest.raises(RequestInvalid) as refused:
        buyer.generate("a fox", out=os.fsdecode(os.fsencode(tmp_path) + b"/\xff"))
    assert refused.value.field == "out"
    assert net_charged(box) == 0


def test_what_is_written_is_on_the_disk_itself_before_it_counts(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.sqlite3")
    for _ in range(2):  # the first connection, and one that is opened anew
        with ledger._storage.transaction() as db:
            (level,) = db.execute("PRAGMA synchronous").fetchone()
        assert level == 2, "FULL"
        ledger.close()


# -- a disk without room ---------------------------------------------------------------------------
def full(ledger: Ledger) -> None:
    """Let the file not grow any more."""
    with ledger._storage.transaction() as db:
        (pages,) = db.execute("PRAGMA page_count").fetchone()
        db.execute(f"PRAGMA max_page_count = {pages}")


BODY = b"x" * 20_000


def test_nothing_is_begun_on_a_full_disk_and_all_goes_on_when_there_is_room(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.sqlite3")
    ledger.begin(run("a"), again=True, budget=None)
    full(ledger)
    with pytest.raises(ConfigError, match="full") as caught:
        ledger.begin(run("b", identity="r1:b", body=BODY), again=True, budget=None)
    assert caught.value.spent == "no"
    assert "Nothing is bought without it" in caught.value.hint

    assert ledger.run("b") is None
    assert ledger.begin(run("b", identity="r1:b", body=BODY), again=True, budget=None).fresh


@pytest.mark.parametrize(
    "write",
    [
        lambda ledger: ledger.record_submitted("a", "w" * 20_000, 3),
        lambda ledger: ledger.record_finished("a", "failed", 0, "why" * 20_000),
        lambda ledger: ledger.drop("a", "why" * 20_000),
        lambda ledger: ledger.record_picture("a", 0, Path("p" * 20_000), 1, "0" * 64),
        lambda ledger: ledger.keep_setting("budget", "5" * 20_000),
    ],
    ids=["submitted", "finished", "dropped", "saved", "keep_setting"],
)
def test_a_full_disk_is_told_in_words_and_leaves_what_was_there(
    tmp_path: Path, write: Callable[[Ledger], None]
) -> None:
    ledger = Ledger(tmp_path / "ledger.sqlite3")
    ledger.begin(run("a"), again=True, budget=None)
    before = ledger.run("a")
    full(ledger)
    with pytest.raises(ConfigError, match="full"):
        write(ledger)
    assert ledger.run("a") == before
