"""The house's plan, held by reading the imports: nothing points up, heavy things load on use."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

import civitai_skill
from civitai_skill.engines.catalog import CATALOG, Entry
from tests.support.paths import ROOT

PACKAGE = ROOT / "civitai_skill"
FAMILY_MODULES = frozenset(f"civitai_skill.engines.families.{entry.module}" for entry in CATALOG)

#: The house, from the ground up. A room names only rooms on lower floors; a new room gets a place.
FLOORS: tuple[tuple[str, ...], ...] = (
    ("errors", "_version"),
    ("config", "storage", "schema"),
    ("engines", "ledger"),
    ("steps",),
    # Choosing an engine knows what a step after it makes of it.
    ("images", "engines/choose"),
    ("gallery",),
    ("api",),
    ("resources", "sandbox"),
    ("purchase", "remix"),
    ("client",),
    ("batch",),
    ("tools", "servers"),
    ("skill",),
    ("adapters",),
)

#: Rooms that may name even less than their floor allows.
ONLY: dict[str, set[str]] = {
    "errors": set(),
    "config": {"errors"},
    # Which fetched document is in force, the settings say.
    "engines": {"config", "schema", "errors"},
    "steps": {"engines", "schema", "errors"},
    "images": {"engines", "schema", "storage", "errors", "_version"},
    "ledger": {"storage", "errors"},
    "gallery": {"storage", "errors"},
    "resources": {"api", "engines", "schema", "storage", "errors"},
    "remix": {"resources", "images", "api", "steps", "engines", "schema", "storage", "errors"},
    "sandbox": {"steps", "engines", "schema", "storage", "errors"},
}

#: What an adapter names of the package, beside its public names; the command line two rooms more.
ADAPTERS_NAME = {"tools", "batch", "servers", "gallery", "client", "schema", "errors", "config"}
ADAPTERS_NAME_TOO = {"adapters/cli/": {"skill", "sandbox"}}

#: Names from outside that only these files, or the files of these folders, may speak.
ONLY_IN: dict[str, set[str]] = {
    "langchain_core": {"adapters/langchain.py"},
    "mcp": {"adapters/mcp/"},
    "pillow_heif": {"images/"},
    "fastapi": {"adapters/rest/"},
    "starlette": {"adapters/rest/"},
    "uvicorn": {"servers/", "adapters/mcp/", "adapters/rest/"},
    "prometheus_client": {"adapters/rest/"},
    "h11": {"sandbox/"},
    "fsspec": {"adapters/ray.py"},
    "pyarrow": {"adapters/ray.py"},
    "ray": {"adapters/ray.py"},
    "rich": {"adapters/cli/batch.py"},
    "sqlite3": {"storage/", "ledger/", "sandbox/state/"},
}

MOST_LINES = {"civitai_skill": 350, "tests": 400, "scripts": 400}


@dataclass(frozen=True)
class Import:
    """One imported name: where it stands and what it names."""

    file: str
    line: int
    module: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line} imports {self.module}"


def sources(top: Path = PACKAGE) -> list[Path]:
    return sorted(p for p in top.rglob("*.py") if "__pycache__" not in p.parts)


def name_of(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def room_of(path: Path) -> str:
    """The folder, but for a file that has a floor of its own."""
    file = name_of(path).removesuffix(".py")
    return file if any(file in rooms for rooms in FLOORS) else file.partition("/")[0]


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def imports(path: Path) -> tuple[Import, ...]:
    return tuple(_imports(path))


def _imports(path: Path) -> Iterator[Import]:
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(name_of(path), node.lineno, alias.name)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: imports are written out in full"
            for alias in node.names:
                yield Import(name_of(path), node.lineno, f"{node.module}.{alias.name}")


def names_at_run_time(node: ast.AST) -> Iterator[str]:
    """What a module names when it is loaded or run, in functions too; not for type checkers."""
    if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
        return
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        yield from (f"{node.module}.{alias.name}" for alias in node.names)
    for child in ast.iter_child_nodes(node):
        yield from names_at_run_time(child)


def is_within(module: str, package: str) -> bool:
    return module == package or module.startswith(package + ".")


ROOMS = sorted({room_of(p) for p in sources()} - {"__init__", "__main__"})


# -- who may name whom -----------------------------------------------------------------------------
def below(room: str) -> set[str]:
    floor = next(i for i, rooms in enumerate(FLOORS) if room in rooms)
    lower = {name for rooms in FLOORS[:floor] for name in rooms}
    assert ONLY.get(room, set()) <= lower
    return ONLY.get(room, lower)


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_names_only_rooms_below_it(room: str) -> None:
    assert any(room in rooms for rooms in FLOORS), f"{room} has no place in FLOORS yet"
    inside = [p for p in sources() if room_of(p) == room]
    ours = [i for p in inside for i in imports(p) if is_within(i.module, "civitai_skill")]
    allowed = below(room) | {room}
    wrong = [i for i in ours if i.module.split(".")[1] not in allowed | {"__version__"}]
    assert [str(i) for i in wrong] == []


@pytest.mark.parametrize("path", sources(PACKAGE / "adapters"), ids=name_of)
def test_an_adapter_names_no_room_behind_the_client(path: Path) -> None:
    allowed = ADAPTERS_NAME | {"adapters", "_version", *civitai_skill.__all__}
    allowed |= ADAPTERS_NAME_TOO.get(f"{_folder(name_of(path))}/", set())
    ours = [i for i in imports(path) if is_within(i.module, "civitai_skill")]
    assert [str(i) for i in ours if i.module.split(".")[1] not in allowed] == []


def test_the_front_door_shows_type_checkers_what_it_hands_out() -> None:
    for_checkers = {
        i.module for i in imports(PACKAGE / "__init__.py") if is_within(i.module, "civitai_skill")
    }
    handed_out = {getattr(civitai_skill, n) for n in civitai_skill.__all__ if n != "__version__"}
    assert for_checkers - {"civitai_skill._version.__version__"} == {
        f"{thing.__module__}.{thing.__name__}" for thing in handed_out
    }


@pytest.mark.parametrize("package", ONLY_IN)
def test_an_outside_package_is_named_only_where_it_belongs(package: str) -> None:
    found = [i for p in sources() for i in imports(p) if is_within(i.module, package)]
    places = ONLY_IN[package]
    wrong = [i for i in found if i.file not in places and f"{_folder(i.file)}/" not in places]
    assert [str(i) for i in wrong] == []


def _folder(file: str) -> str:
    return file.rpartition("/")[0]


def test_only_config_reads_the_environment() -> None:
    reading = {
        name_of(path)
        for path in sources()
        for node in ast.walk(tree_of(path))
        if (isinstance(node, ast.Attribute) and node.attr in {"environ", "environb", "getenv"})
        or (isinstance(node, ast.alias) and node.name in {"environ", "environb", "getenv"})
    }
    assert reading == {"config.py"}


def test_no_family_is_named_outside_the_families() -> None:
    outside = [
        p for p in sources() if f"civitai_skill.engines.families.{p.stem}" not in FAMILY_MODULES
    ]
    found = [i for p in outside for i in imports(p)]
    assert [str(i) for i in found if any(is_within(i.module, m) for m in FAMILY_MODULES)] == []


def test_no_modules_name_each_other_in_a_circle() -> None:
    paths = {".".join(p.relative_to(ROOT).with_suffix("").parts): p for p in sources()}
    modules = {name.removesuffix(".__init__"): path for name, path in paths.items()}
    left = {
        name: {
            next(m for m in (module, module.rpartition(".")[0]) if m in modules)
            for module in names_at_run_time(tree_of(path))
            if is_within(module, "civitai_skill")
        }
        - {name}
        for name, path in modules.items()
    }
    while True:
        left = {name: named & left.keys() for name, named in left.items()}
        inner = {n for n, named in left.items() if named and any(n in o for o in left.values())}
        if inner == left.keys():
            break
        left = {name: left[name] for name in inner}
    assert left == {}


# -- what loads when -------------------------------------------------------------------------------
HEAVY = ("httpx", "pydantic", "pydantic_core", "PIL", "asyncio", "sqlite3", "langchain_core", "mcp")


def loaded(code: str) -> set[str]:
    """The modules that a fresh interpreter has loaded when the code has run."""
    report = "import atexit, sys; atexit.register(lambda: print(*sys.modules, file=sys.stderr)); "
    done = subprocess.run(
        [sys.executable, "-c", report + code],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        stdin=subprocess.DEVNULL,
    )
    return set(done.stderr.split())


def command(*words: str) -> str:
    run = "import runpy; runpy.run_module('civitai_skill', run_name='__main__', alter_sys=True)"
    return f"sys.argv = {['civitai-skill', *words]!r}; {run}"


@pytest.mark.parametrize(
    "code",
    [
        "import civitai_skill",
        command("--help"),
        command("--version"),
        command("generate", "--help"),
        command("tools", "--help"),
        command("engines"),
    ],
    ids=["import", "--help", "--version", "generate --help", "tools --help", "engines"],
)
def test_asking_for_nothing_heavy_loads_nothing_heavy(code: str) -> None:
    modules = loaded(code)
    assert "civitai_skill" in modules
    assert modules & FAMILY_MODULES == set()
    assert {m for m in modules if m in HEAVY} == set()


@pytest.mark.parametrize("entry", CATALOG, ids=lambda entry: entry.name)
def test_asking_for_one_family_loads_no_other(entry: Entry) -> None:
    code = f"from civitai_skill.engines import catalog; catalog.family({entry.name!r})"
    assert loaded(code) & FAMILY_MODULES == {f"civitai_skill.engines.families.{entry.module}"}


# -- size ------------------------------------------------------------------------------------------
def test_few_modules_stand_outside_of_the_rooms() -> None:
    alone = {path.name for path in PACKAGE.glob("*.py")}
    assert len(alone) <= 6, alone


@pytest.mark.parametrize("folder", MOST_LINES)
def test_no_file_outgrows_its_subject(folder: str) -> None:
    lengths = {
        path.relative_to(ROOT).as_posix(): len(path.read_text(encoding="utf-8").splitlines())
        for path in sources(ROOT / folder)
    }
    assert {name: lines for name, lines in lengths.items() if lines > MOST_LINES[folder]} == {}
