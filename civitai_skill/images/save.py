"""Save pictures under names of their own, each with its sidecar (NAME.json).

A batch decides the names before it buys. They are kept with the purchase, so that whoever brings
the pictures home later (resume, get) puts them where the batch would have.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from civitai_skill.errors import Problem, RequestInvalid
from civitai_skill.images import sidecar
from civitai_skill.images.convert import Conversion
from civitai_skill.images.decode import FetchedPicture
from civitai_skill.storage.files import write_temporary

_TRIES = 10_000

#: Saves picture number `n` and says where. Raises OSError.
Place = Callable[[int, FetchedPicture], Path]


def prepare_folder(out: Path) -> Path:
    """Make the output folder and try it, before anything is paid. Raises RequestInvalid."""
    try:
        str(out.absolute()).encode()  # the ledger keeps it, and answers name it
        out.mkdir(parents=True, exist_ok=True)
        with write_temporary(out, b""):
            pass
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "not a usable path"
        accepted = "a folder that can be written to"
        raise RequestInvalid(Problem("out", str(out), accepted, None, why)) from None
    return out


def safe_stem(stem: str) -> str:
    """A file's name from text that is not ours."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", stem).lstrip(".")


def save_picture(fetched: FetchedPicture, out: Path, stem: str) -> Path:
    """Save a picture under the first free name like `stem`, and give its path. Raises OSError.

    One that is there already, byte for byte, is taken as it is.
    """
    with write_temporary(out, fetched.data) as part:
        for path in _names(out, safe_stem(stem), fetched.suffix):
            if _link(part, path) or _holds(path, fetched.data):
                return path
    raise FileExistsError(f"every name like {stem} is taken")


@dataclass(frozen=True)
class Label:
    """The names of one purchase's pictures, without suffix, and what their sidecars say.

    Without names of their own they are named after the workflow; without `facts` they get no
    sidecar. `conversion` is what becomes of each on this machine, `keep_all` says that those from
    before the last step are wanted too.
    """

    stems: tuple[str, ...]
    facts: Mapping[str, Any] | None
    conversion: Conversion | None = None
    keep_all: bool = False

    def to_json(self) -> str:
        """As the ledger keeps it."""
        if self.conversion is None and not self.keep_all:
            return json.dumps([self.stems, self.facts])
        how = None if self.conversion is None else asdict(self.conversion)
        return json.dumps([self.stems, self.facts, how, self.keep_all])

    @staticmethod
    def from_json(text: str) -> Label:
        """The label that `to_json` wrote."""
        stems, facts, *more = json.loads(text)
        how, keep_all = more or (None, False)
        if how is not None:
            exact = how.pop("exact")
            how = Conversion(**how, exact=None if exact is None else tuple(exact))
        return Label(tuple(stems), facts, how, keep_all)

    def places(self, key: str, workflow_id: str | None, out: Path) -> Place | None:
        """How to save this purchase's pictures in a folder; None: named after the workflow."""
        if self.facts is None:
            return None
        facts = {**self.facts, "key": key, "workflow": workflow_id}
        return partial(save_with_sidecar, out, self.stems, facts)


def save_with_sidecar(
    out: Path, stems: Sequence[str], facts: Mapping[str, Any], n: int, fetched: FetchedPicture
) -> Path:
    """Save a picture and its sidecar under the first free name, and give its path.

    What an earlier run saved is taken as it is. Raises OSError.
    """
    if n < len(stems):
        stem = stems[n]
    else:
        stem = f"{stems[-1]}-{n}" if stems else safe_stem(f"{facts['workflow']}-{n}")
    digest = hashlib.sha256(fetched.data).hexdigest()
    content = sidecar.encode_sidecar({**facts, "n": n, "sha256": digest})
    with write_temporary(out, fetched.data) as part:
        for path in _names(out, stem, fetched.suffix):
            beside = sidecar.sidecar_path(path)
            if not sidecar.can_write_sidecar(beside, facts["key"], n):
                continue
            if _link(part, path) or _holds(path, fetched.data):
                _write_new(beside, content)
                return path
    raise FileExistsError(f"every name like {stem} is taken")


def _names(out: Path, stem: str, suffix: str) -> Iterator[Path]:
    yield out / f"{stem}{suffix}"
    yield from (out / f"{stem}-{number}{suffix}" for number in range(2, _TRIES))


def _holds(path: Path, data: bytes) -> bool:
    try:
        return path.read_bytes() == data
    except OSError:  # a folder, a link to nowhere, a file of somebody else
        return False


def _write_new(path: Path, data: bytes) -> None:
    with write_temporary(path.parent, data) as part:
        _link(part, path)


def _link(part: Path, path: Path) -> bool:
    """Give the part its final name, unless that is taken; no other process can come between."""
    try:
        os.link(part, path)
    except FileExistsError:
        return False
    except OSError:  # a disk without links: the name is taken first, then filled
        try:
            path.open("xb").close()
        except FileExistsError:
            return False
        part.replace(path)
    return True
