"""Render what the documents say about the engines from the engines' own data.

    python scripts/render.py           rewrite what is out of date
    python scripts/render.py --check   change nothing; name what is out of date, and exit 1 for it

A document is a line in DOCUMENTS: its path, and a function from the text it has to the text it
should have. `between` makes one that renews a marked part; a document that is rendered whole
ignores the text it had.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from civitai_skill.engines import describe

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Document:
    """One rendered file, relative to the root of the project."""

    path: str
    render: Callable[[str], str]

    def current(self, root: Path) -> str:
        file = root / self.path
        return file.read_text(encoding="utf-8") if file.exists() else ""


def between(name: str, content: Callable[[], str]) -> Callable[[str], str]:
    """Renew what stands between `<!-- name -->` and `<!-- /name -->`.

    Raises ValueError when the text does not have the two markers exactly once.
    """
    opening, closing = f"<!-- {name} -->\n", f"<!-- /{name} -->\n"

    def renewed(text: str) -> str:
        if text.count(opening) != 1 or text.count(closing) != 1:
            raise ValueError(f"the markers {opening.strip()} and {closing.strip()} must stand once")
        head, _, rest = text.partition(opening)
        _, _, tail = rest.partition(closing)
        return f"{head}{opening}{content()}{closing}{tail}"

    return renewed


DOCUMENTS = (Document("README.md", between("engines", describe.table)),)


def outdated() -> dict[Path, str]:
    """The files that do not say what they should, each with the text it should have."""
    found = {}
    for document in DOCUMENTS:
        current = document.current(ROOT)
        wanted = document.render(current)
        if wanted != current:
            found[ROOT / document.path] = wanted
    return found


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Render the documents from the engines' data.")
    parser.add_argument("--check", action="store_true", help="change nothing, exit 1 if outdated")
    check = parser.parse_args(arguments).check
    found = outdated()
    for path, wanted in found.items():
        if not check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(wanted, encoding="utf-8")
        print(f"{'outdated' if check else 'written'}: {path.relative_to(ROOT).as_posix()}")
    return 1 if check and found else 0


if __name__ == "__main__":
    sys.exit(main())
