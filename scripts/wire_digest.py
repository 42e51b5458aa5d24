"""Write tests/engines/wire_digest.json: the image forms of a published document, as facts.

The digest holds facts only, no prose, so that every limit of ours can be checked where the document
is not at hand. `check_api.py DOCUMENT` says what a document has otherwise than our files.

    python scripts/wire_digest.py DOCUMENT
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from civitai_skill.engines.published import document

DIGEST = Path(__file__).resolve().parent.parent / "tests" / "engines" / "wire_digest.json"


def digest(published: document.Document) -> dict[str, Any]:
    """The forms by their selectors, in the document's order, and what they refer to."""
    return {
        "air_pattern": sorted(published.patterns),
        "enums": published.enums,
        "forms": {
            " ".join(f"{name}={value}" for name, value in form.tags.items()): form.fields
            for form in published.forms
        },
        "objects": published.objects,
    }


def text(path: Path) -> str:
    """The digest of a document as JSON with one line for each field, so that a change reads as one
    line."""
    made = digest(document.read(json.loads(path.read_text(encoding="utf-8"))))
    lines = ["{", f' "air_pattern": {json.dumps(made["air_pattern"])},']
    lines.append(f' "enums": {json.dumps(made["enums"], sort_keys=True)},')
    for part in ("forms", "objects"):
        lines.append(f' "{part}": {{')
        last = list(made[part])[-1:]
        for name, fields in made[part].items():
            lines.append(f"  {json.dumps(name)}: {{")
            rows = [f"   {json.dumps(f)}: {json.dumps(facts)}" for f, facts in fields.items()]
            lines.append(",\n".join(rows))
            lines.append("  }" if [name] == last else "  },")
        lines.append(" }" if part == "objects" else " },")
    return "\n".join([*lines, "}"]) + "\n"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Write the digest of a published document.")
    parser.add_argument("document", type=Path, help="the document, as JSON")
    DIGEST.write_text(text(parser.parse_args().document), encoding="utf-8")
