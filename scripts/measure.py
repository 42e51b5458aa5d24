"""Print how large, how deep and how repetitive the package of this checkout is.

    python scripts/measure.py [--json]      a Markdown table, or the figures and what is behind them

Needs the extras langchain, mcp and rest, no network and no key: it buys in the sandbox, in a
temporary home. How it counts (imports for type checkers are left out):

- Imports up: to a room on the same or a higher floor of FLOORS in test_layers.py, or to the package
  itself. A module's room is the longest name there that it lies in; n/a where one has none.
- Circles: groups of modules that lead back to themselves, imports inside functions included.
- Functions: the distinct ones that a second purchase enters, in every thread, without the sandbox,
  lambdas, comprehensions and class bodies. REST submits and looks; MCP is called over HTTP.
- Frames: the package's, from the public function, or from the start of the task where an event loop
  runs it, to the generator that has the submit's httpx.Request made.
- Bodies, sources: how many different workflow bodies functions of the package return, and how often
  the file is opened, when a local picture is edited.
- Functions of one call: below a docstring only a call, returned, awaited or yielded from.
- Places of a field: top-level statements that name both FIELDS. The class ImageRequest counts; a
  module that says "Rendered by" does not, nor a step's form, which has the service's own fields.
"""

from __future__ import annotations

import argparse
import ast
import inspect
import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import chdir, redirect_stdout
from functools import cache, partial
from io import StringIO
from itertools import count
from pathlib import Path
from socket import create_server
from tempfile import TemporaryDirectory
from types import CodeType, FrameType
from typing import Any, TypeGuard

import httpx
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "civitai_skill"
TEXTS = {p.relative_to(PACKAGE).as_posix(): p.read_text("utf-8") for p in PACKAGE.rglob("*.py")}
LINES = {file: len(TEXTS[file].splitlines()) for file in sorted(TEXTS)}
#: The modules, named like engines/plan; a folder's own is named like the folder.
MODULES = {f.removesuffix(".py").removesuffix("/__init__"): ast.parse(TEXTS[f]) for f in LINES}
SUBMIT = "/v2/consumer/workflows"
FIELDS = {"negative_prompt", "output_format"}


# -- what stands in the files ----------------------------------------------------------------------
def imports(node: ast.AST) -> Iterator[str]:
    """The modules of the package that a tree names."""
    if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
        return
    if isinstance(node, ast.Import | ast.ImportFrom):
        outer = f"{node.module}." if isinstance(node, ast.ImportFrom) else ""
        for alias in node.names:
            package, *parts = f"{outer}{alias.name}".split(".")
            names = ("/".join(parts), "/".join(parts[:-1]), "__init__")
            if package == PACKAGE.name:
                yield next(name for name in names if name in MODULES)
    for child in ast.iter_child_nodes(node):
        yield from imports(child)


def imports_up(arrows: dict[str, set[str]]) -> list[str] | None:
    """Every import that points up; None where FLOORS has no place for a module."""
    tests = (ROOT / "tests").rglob("test_layers.py")
    text = "".join(
        t.read_text("utf-8").partition("\nFLOORS: ")[2].partition(" = ")[2] for t in tests
    )
    plan = ast.literal_eval(text.partition("\n)")[0] + ")") if text else ()
    floors = {room: floor for floor, rooms in enumerate(plan) for room in rooms}
    floors |= dict.fromkeys(("__init__", "__main__"), len(plan))
    rooms = {
        module: max((r for r in floors if f"{module}/".startswith(f"{r}/")), key=len, default="")
        for module in arrows.keys() - {"_version"}
    }
    if not all(rooms.values()):
        return None
    found = {(m, n) for m in rooms for n in arrows[m] & rooms.keys() if rooms[m] != rooms[n]}
    return sorted(f"{m} -> {n}" for m, n in found if floors[rooms[n]] >= floors[rooms[m]])


def circles(arrows: dict[str, set[str]]) -> list[list[str]]:
    """The groups of modules that lead back to themselves."""
    ends = {module: named - {module} for module, named in arrows.items()}
    for middle in ends:
        for module in ends:
            if middle in ends[module]:
                ends[module] |= ends[middle]
    groups = {tuple(n for n in ends if n in ends[m] and m in ends[n]) for m in ends if m in ends[m]}
    return [list(group) for group in sorted(groups)]


def is_one_call(node: ast.AST) -> TypeGuard[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Is it a function that does nothing but call another?"""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        match node.body[ast.get_docstring(node) is not None :]:
            case [ast.Return(value) | ast.Expr(value)]:
                inner = value.value if isinstance(value, ast.Await | ast.YieldFrom) else value
                return isinstance(inner, ast.Call)
    return False


def is_step_form(node: ast.AST) -> bool:
    """Is it the form of a step, as the service's document has it?"""
    bases = node.bases if isinstance(node, ast.ClassDef) else []
    return "StepForm" in map(ast.unparse, bases)


def words(node: ast.AST) -> Iterator[str]:
    """Names, keywords, flags and texts, but not what a table of synonyms leads to."""
    for text in (getattr(node, part, None) for part in ("id", "attr", "arg", "value")):
        if isinstance(text, str):
            yield text.removeprefix("--").replace("-", "_")
    for child in ast.iter_child_nodes(node):
        if not (isinstance(node, ast.Dict) and child in node.values):
            yield from words(child)


# -- what happens in a purchase --------------------------------------------------------------------
#: What the package calls, returns and submits, and what files are opened, while it is watched.
LOG: list[tuple[str, Any, Any]] = []
WATCHING = threading.Event()
NUMBERS = count()
Buy = Callable[[str, list[str]], object]


@cache
def is_ours(file: str) -> bool:
    path = Path(file)
    return path.is_relative_to(PACKAGE) and not path.is_relative_to(PACKAGE / "sandbox")


def profile(frame: FrameType, event: str, value: Any) -> None:
    if not WATCHING.is_set() or event not in ("call", "return"):
        return
    if is_ours(frame.f_code.co_filename):
        LOG.append((event, frame.f_code, value))
    elif event == "return" and frame.f_code is httpx.Request.__init__.__code__:
        made = frame.f_locals["self"]
        if made.method == "POST" and made.url.path == SUBMIT and "whatif" not in made.url.params:
            LOG.append(("submit", None, stack(frame)))


def audit(event: str, given: tuple[Any, ...]) -> None:
    if event == "open" and WATCHING.is_set():
        LOG.append((event, str(given[0]), None))


def stack(frame: FrameType | None) -> list[str]:
    """The package's frames. What makes a request for the generator that sends it is not one."""
    found: list[str] = []
    while frame and frame.f_globals.get("__name__") != "asyncio.events":
        code = frame.f_code
        if is_ours(code.co_filename) and (found or code.co_flags & inspect.CO_GENERATOR):
            found.insert(0, f"{Path(code.co_filename).relative_to(PACKAGE)}:{code.co_name}")
        frame = frame.f_back
    return found


def is_body(value: Any) -> bool:
    """Is it a workflow to submit? An answer of the service has a status too."""
    steps = value.get("steps") if isinstance(value, dict) and "status" not in value else None
    return isinstance(steps, list) and bool(steps) and "$type" in steps[0]


def is_function(code: CodeType) -> bool:
    return bool(code.co_flags & inspect.CO_OPTIMIZED) and not code.co_name.startswith("<")


def watched(buy: Buy, *images: str) -> dict[str, Any]:
    LOG.clear()
    WATCHING.set()
    buy(f"a red fox, {next(NUMBERS)}", list(images))
    WATCHING.clear()
    frames = next(frames for event, _, frames in LOG if event == "submit")
    entered = {c for e, c, _ in LOG if e == "call" and is_function(c)}
    return {
        "functions": len(entered),
        "entered": sorted(
            f"{Path(c.co_filename).relative_to(PACKAGE)}:{c.co_qualname}" for c in entered
        ),
        "frames": len(frames),
        "stack": frames,
        "bodies": len({id(value) for e, _, value in LOG if e == "return" and is_body(value)}),
        "sources": sum(e == "open" and file in images for e, file, _ in LOG),
    }


def purchases() -> tuple[dict[str, dict[str, Any]], dict[str, dict[str, Any]]]:
    """What the package does in a purchase, and in one with a source picture, by interface."""
    from civitai_skill import Civitai, run_batch
    from civitai_skill.adapters.cli import main
    from civitai_skill.adapters.functions import dispatch
    from civitai_skill.adapters.langchain import langchain_tools

    source = str(Path("source.png").absolute())
    Image.new("RGB", (512, 512), "teal").save(source)
    sys.addaudithook(audit)
    threading.setprofile(profile)
    sys.setprofile(profile)
    seen, edits = {}, {}

    def see(name: str, buy: Buy, edit: bool = False) -> None:
        buy("a blue fox", [])  # the first one loads what the others find loaded
        seen[name] = watched(buy)
        if edit:
            edits[name] = watched(buy, source)

    with Civitai() as client:
        see("generate", lambda p, i: client.generate(p, images=i), edit=True)
    see("CLI", lambda p, i: main(["generate", p, "--quiet"]))
    see("functions", lambda p, i: dispatch("civitai_generate_image", {"prompt": p}))
    tool = langchain_tools(local_files=True)[0]
    see("LangChain", lambda p, i: tool.invoke({"prompt": p, "images": i}), edit=True)
    see("batch", lambda p, i: run_batch([{"prompt": p, "images": i}], out=p), edit=True)
    serve(main, "rest", lambda web: see("REST", partial(over_rest, web)))
    serve(
        main, "mcp --http --local-files", lambda web: see("MCP", partial(over_mcp, web), edit=True)
    )
    return seen, edits


def serve(main: Callable[[list[str]], object], words: str, use: Callable[[Any], None]) -> None:
    """Run a server on this thread, as its signals need, while another one uses it."""
    with create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]

    def using() -> None:
        way, base = httpx.HTTPTransport(retries=6), f"http://127.0.0.1:{port}"
        try:
            with httpx.Client(transport=way, base_url=base, timeout=60) as web:
                use(web)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)

    with ThreadPoolExecutor(1) as pool:
        used = pool.submit(using)
        main([*words.split(), "--port", str(port)])
    used.result()


def over_rest(web: httpx.Client, prompt: str, _: list[str]) -> None:
    made = web.post(f"{SUBMIT}/image", json={"prompt": prompt}).json()["id"]
    web.get(f"{SUBMIT}/image/{made}", params={"wait": 30}).raise_for_status()


def over_mcp(web: httpx.Client, prompt: str, images: list[str]) -> None:
    tool, version, key = "civitai-generate-image", "2026-07-28", "io.modelcontextprotocol/"
    meta = {f"{key}protocolVersion": version, f"{key}clientCapabilities": {}}
    params = {"name": tool, "arguments": {"prompt": prompt, "images": images}, "_meta": meta}
    call = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    headers = {"MCP-Protocol-Version": version, "Mcp-Method": "tools/call", "Mcp-Name": tool}
    headers["Accept"] = "application/json, text/event-stream"
    web.post("/mcp", json=call, headers=headers).raise_for_status()


# -- the table -------------------------------------------------------------------------------------
def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the package of this checkout.")
    parser.add_argument("--json", action="store_true", help="JSON, with what is behind the figures")
    as_json = parser.parse_args().json
    for name in [n for n in os.environ if n.startswith("CIVITAI_")]:
        del os.environ[name]
    sys.path.insert(0, str(ROOT))
    with TemporaryDirectory() as folder, chdir(folder):
        os.environ |= {"CIVITAI_SANDBOX": "1", "CIVITAI_SKILL_HOME": f"{folder}/home"}
        with redirect_stdout(StringIO()):
            seen, edits = purchases()
    arrows = {module: set(imports(tree)) for module, tree in MODULES.items()}
    calls, places = [], []
    for module, tree in MODULES.items():
        if module.split("/")[0] not in ("client", "calls"):
            calls += [f"{module}:{n.name}" for n in ast.walk(tree) if is_one_call(n)]
        named = [n for n in tree.body if set(words(n)) >= FIELDS and not is_step_form(n)]
        rendered = "Rendered by" in (ast.get_docstring(tree) or "")
        places += [] if rendered else [f"{module}:{n.lineno}" for n in named]
    up, around = imports_up(arrows), circles(arrows)
    behind = {"up": up, "circles": around, "calls": calls, "places": places, "purchases": seen}
    behind |= {"edits": edits}
    sandbox = sum(n for file, n in LINES.items() if file.startswith("sandbox/"))
    longest, file = max((n, file) for file, n in LINES.items())

    def each(runs: dict[str, dict[str, Any]], what: str) -> str:
        return ", ".join(f"{name} {run[what]}" for name, run in runs.items())

    most = "generate 140, LangChain 165, MCP 189, batch 229 at most"
    rows = [
        ("modules at the package's top level", sum("/" not in file for file in LINES), "<= 6"),
        ("imports that point up", "n/a" if up is None else len(up), "0"),
        ("circles between modules", len(around), "0"),
        ("functions that a warm purchase enters", each(seen, "functions"), most),
        ("frames from the interface to the submit", each(seen, "frames"), "<= 7 to 11"),
        ("times the body is built for one purchase", each(edits, "bodies"), "1"),
        ("times a source is opened for one purchase", each(edits, "sources"), "1"),
        ("lines without the sandbox", sum(LINES.values()) - sandbox, "<= 21000"),
        ("lines of the sandbox", sandbox, "<= 4500"),
        ("functions of one call, outside client/", len(calls), "<= 60"),
        ("longest file", f"{longest} ({file})", "<= 350"),
        ("places by hand that a new request field touches", len(places), "1"),
    ]
    if as_json:
        print(json.dumps({"figures": {r[0]: r[1] for r in rows}, **behind}, indent=1))
        return
    for row in [("figure", "now", "wanted"), ("---", "---", "---"), *rows]:
        print("| {} | {} | {} |".format(*row))


if __name__ == "__main__":
    main()
