"""Where the skill bundle's files are: in the repository, or packed into the installed wheel."""

from __future__ import annotations

from pathlib import Path

from civitai_skill.errors import ConfigError

_PACKAGE = Path(__file__).resolve().parents[1]


def find_bundle() -> Path:
    """The folder with SKILL.md and skills/. Raises ConfigError where there is none."""
    for folder in (_PACKAGE / "_bundle", _PACKAGE.parent):
        if (folder / "SKILL.md").is_file() and (folder / "skills").is_dir():
            return folder
    raise ConfigError(
        "The skill files are not beside this package.",
        advice="Install it from its clone: pip install /path/to/your/clone",
    )
