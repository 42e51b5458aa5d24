"""Pictures under names of their own, with the request that made each beside it (NAME.json).

A batch decides the names before it buys. They are kept with the purchase, so that whoever brings
the pictures home later (resume, get) puts them where the batch would have.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from civitai_skill import provenance
from civitai_skill.delivery import Place
from civitai_skill.download import Fetched, plain
from civitai_skill.files import written

_TRIES = 10_000


@dataclass(frozen=True)
class Label:
    """The names of one purchase's pictures, without suffix, and what their notes say.

    Without names of their own they are named after the workflow.
    """

    stems: tuple[str, ...]
    facts: Mapping[str, Any]

    def text(self) -> str:
        """As the ledger keeps it."""
        return json.dumps([self.stems, self.facts])

    @staticmethod
    def read(text: str) -> Label:
        """What `text` wrote."""
        stems, facts = json.loads(text)
        return Label(tuple(stems), facts)

    def places(self, key: str, workflow_id: str | None, out: Path) -> Place:
        """Saves the pictures of a purchase in a folder. Raises OSError."""
        note = {**self.facts, "key": key, "workflow": workflow_id}
        return partial(place, out, self.stems, note)


def place(
    out: Path, stems: Sequence[str], note: Mapping[str, Any], n: int, fetched: Fetched
) -> Path:
    """Save a picture and the request that made it beside it, over nothing that is not the same.

    What an earlier run saved is taken as it is. Raises OSError.
    """
    if n < len(stems):
        wanted = stems[n]
    else:
        wanted = f"{stems[-1]}-{n}" if stems else plain(f"{note['workflow']}-{n}")
    digest = hashlib.sha256(fetched.data).hexdigest()
    text = provenance.written_note({**note, "n": n, "sha256": digest})
    with written(out, fetched.data) as part:
        for number in range(1, _TRIES):
            name = wanted if number == 1 else f"{wanted}-{number}"
            path = out / f"{name}{fetched.suffix}"
            beside = provenance.beside(path)
            if not provenance.may_write(beside, note["key"], n):
                continue
            if _linked(part, path) or _is_same(path, fetched.data):
                provenance.keep(beside, text)
                return path
    raise FileExistsError(f"every name like {wanted} is taken")


def _is_same(path: Path, data: bytes) -> bool:
    try:
        return path.read_bytes() == data
    except IsADirectoryError:
        return False


def _linked(part: Path, path: Path) -> bool:
    """Give the part its final name, unless that is taken; no other process can come between."""
    try:
        os.link(part, path)
    except FileExistsError:
        return False
    except OSError:
        # A disk without links: the name is looked at first, and taken right after.
        if path.exists():
            return False
        part.replace(path)
    return True
