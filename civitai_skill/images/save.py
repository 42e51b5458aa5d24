"""Save pictures under names of their own, each with its sidecar (NAME.json).

A batch decides the names before it buys. They are kept with the purchase, so that whoever brings
the pictures home later (resume, get) puts them where the batch would have.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
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


#: What a file's name takes only from us.
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]")


def save_picture(
    fetched: FetchedPicture,
    out: Path,
    stem: str,
    facts: Mapping[str, Any] | None = None,
    *,
    ours: bool = False,
) -> Path:
    """Save a picture under the first free name like `stem`, with `facts` as its sidecar, and give
    its path. Raises OSError.

    One that is there already, byte for byte, is taken as it is. A stem that is not `ours` is made
    one that every disk takes.
    """
    stem = stem if ours else _UNSAFE.sub("_", stem).lstrip(".") or "picture"
    with write_temporary(out, fetched.data) as part:
        for number in range(1, _TRIES):
            path = out / f"{stem}{f'-{number}' if number > 1 else ''}{fetched.suffix}"
            beside = path.with_suffix(".json")
            if facts is not None and beside.exists() and not sidecar.is_of(beside, facts):
                continue
            if not (_link(part, path) or _holds(path, fetched.data)):
                continue
            if facts is not None:
                with write_temporary(out, sidecar.encode_sidecar(facts)) as content:
                    _link(content, beside)
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
    stem = stems[n] if n < len(stems) else f"{stems[-1] if stems else facts['workflow']}-{n}"
    digest = hashlib.sha256(fetched.data).hexdigest()
    facts = {**facts, "n": n, "sha256": digest}
    return save_picture(fetched, out, stem, facts, ours=bool(stems))


def _holds(path: Path, data: bytes) -> bool:
    try:
        return path.read_bytes() == data
    except OSError:  # a folder, a link to nowhere, a file of somebody else
        return False


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
