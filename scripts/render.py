"""Render what has one source elsewhere: ImageRequest, the engines' data, pyproject.toml, the shim.

    python scripts/render.py           rewrite what is out of date
    python scripts/render.py --check   change nothing; name what is out of date, and exit 1 for it

A document is a line in DOCUMENTS: its path, and a function from the text it has to the text it
should have. `between` makes one that renews a marked part; a document that is rendered whole
ignores the text it had.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "scripts"))

import manifests  # noqa: E402
import pages  # noqa: E402
import request_fields  # noqa: E402

from civitai_skill.config import ASK_USER_ABOVE  # noqa: E402
from civitai_skill.engines import cards, catalog, index, summary  # noqa: E402
from civitai_skill.engines.published.kept import followed  # noqa: E402


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


def asking(pattern: str) -> Callable[[str], str]:
    """Renew each number of Buzz above which the user is asked; `pattern` leads to it.

    Raises ValueError when the text says it nowhere: its words have changed, and so must `pattern`.
    """

    def renewed(text: str) -> str:
        text, found = re.subn(rf"({pattern}) \d+", rf"\g<1> {ASK_USER_ABOVE}", text)
        if not found:
            raise ValueError(f"nothing here says {pattern} N")
        return text

    return renewed


def whole(content: Callable[[], str]) -> Callable[[str], str]:
    """Render the file from nothing."""
    return lambda _: content()


def shim() -> str:
    """The one shim, as it is in scripts/, for every skill to carry."""
    return manifests.released((ROOT / manifests.SHIM).read_text(encoding="utf-8"))


def documents() -> tuple[Document, ...]:
    """Everything that is rendered."""
    make, edit, choose = (f"skills/civitai-{n}" for n in _WITH_PAGES)
    skills = sorted(path.parent.name for path in ROOT.glob("skills/*/SKILL.md"))
    return (
        Document("civitai_skill/schema/fields.py", whole(request_fields.render)),
        Document(_INDEX, whole(summary.rendered)),
        Document("README.md", between("engines", cards.table)),
        Document("README.md", asking("asks the user first above")),
        Document("SKILL.md", asking("above")),
        Document(f"{make}/SKILL.md", asking("Up to|Above")),
        Document(f"{edit}/SKILL.md", asking("passes")),
        Document("skills/civitai-batch-images/SKILL.md", asking("above")),
        Document(f"{make}/SKILL.md", between("pages", pages.named)),
        Document(f"{choose}/SKILL.md", between("needs", pages.needs)),
        Document(f"{make}/references/engines.md", whole(pages.overview)),
        Document(f"{edit}/SKILL.md", between("pages", pages.editors)),
        Document(f"{edit}/references/engines.md", whole(pages.editing)),
        *(
            Document(f"{edit}/references/{name}.md", whole(partial(pages.edit_guide, name)))
            for name in pages.EDITORS
        ),
        Document(f"{choose}/references/needs.md", whole(pages.first_answers)),
        Document(f"{choose}/references/licences.md", whole(pages.licences)),
        *(
            Document(f"{choose}/references/{band}.md", whole(partial(pages.compared, band)))
            for band in pages.PAGES
        ),
        Document("skills/civitai-finish-image/references/steps.md", whole(pages.finishing)),
        *(
            Document(f"{make}/references/{name}.md", whole(partial(pages.guide, name)))
            for name in catalog.NAMES
        ),
        Document(manifests.SHIM, manifests.released),
        *(Document(f"skills/{name}/{manifests.SHIM}", whole(shim)) for name in skills),
        *(Document(path, manifests.written(path)) for path in manifests.manifests()),
    )


_INDEX = index.FILE.relative_to(ROOT).as_posix()
_WITH_PAGES = ("generate-image", "edit-image", "choose-engine")
DOCUMENTS = documents()


def changes() -> Iterator[tuple[Path, str]]:
    """The files that do not say what they should, each with the text it should have.

    A document may be made with one that is named before it: write each before asking on.
    """
    followed.set(
        ROOT / "no-such-file"
    )  # a document that was fetched on this machine says nothing here
    for document in DOCUMENTS:
        current = document.current(ROOT)
        wanted = document.render(current)
        if wanted != current:
            yield ROOT / document.path, wanted


def outdated() -> dict[Path, str]:
    """All of them, with nothing written."""
    return dict(changes())


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Render the documents from the engines' data.")
    parser.add_argument("--check", action="store_true", help="change nothing, exit 1 if outdated")
    check = parser.parse_args(arguments).check
    found = False
    for path, wanted in changes():
        found = True
        if not check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(wanted, encoding="utf-8")
        print(f"{'outdated' if check else 'written'}: {path.relative_to(ROOT).as_posix()}")
    return 1 if check and found else 0


if __name__ == "__main__":
    sys.exit(main())
