"""Every example and every MCP client is run by scripts/check_frameworks.sh, and told of."""

from __future__ import annotations

import ast
import re
import tomllib

from tests.support.paths import ROOT

ROWS = re.findall(
    r"^([\w-]+) \| (example|client) (\w+) \| ",
    (ROOT / "scripts" / "check_frameworks.sh").read_text(encoding="utf-8"),
    re.MULTILINE,
)
FOLDERS = {"example": ROOT / "examples", "client": ROOT / "scripts" / "mcp_clients"}


def test_every_file_is_run_and_every_row_has_its_file() -> None:
    for kind, folder in FOLDERS.items():
        there = {path.stem for path in folder.glob("*.py")} - {"proof"}
        assert {file for _, named, file in ROWS if named == kind} == there


def test_the_clients_import_nothing_of_this_project() -> None:
    for path in FOLDERS["client"].glob("*.py"):
        assert "civitai_skill" not in path.read_text(encoding="utf-8"), path.name


def test_an_example_says_what_to_install_and_how_to_run_it() -> None:
    for path in FOLDERS["example"].glob("with_*.py"):
        told = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        assert "pip install . " in told, path.name
        assert f"python examples/{path.name}" in told
        assert "For real, " in told


def test_the_readme_names_every_example_and_the_source_package_holds_them() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for _, kind, file in ROWS:
        assert kind == "client" or f"{file}.py" in readme, file
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert "/examples" in project["tool"]["hatch"]["build"]["targets"]["sdist"]["include"]
