"""Bad input: one message that teaches, no request, no traceback, whatever a model says."""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from civitai_skill import Civitai, Toolbox
from civitai_skill.adapters.functions import dispatch
from civitai_skill.adapters.langchain import CivitaiTool
from civitai_skill.api.service import Retry
from civitai_skill.sandbox import Sandbox, SandboxTransport
from civitai_skill.tools.registry import BY_NAME
from tests.support.thorough import cases

GENERATE = "civitai_generate_image"
MEGABYTE = 1_000_000

#: Calls made by each of the two fuzzers; together above 2,000 where it is thorough.
CALLS = cases(1100)


class Counting(SandboxTransport):
    """The sandbox's transport; counts what goes to the service and lets jobs take no time."""

    def __init__(self, sandbox: Sandbox) -> None:
        super().__init__(sandbox, sleep=lambda seconds: None)
        self.requests = 0

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.requests += not request.url.path.startswith("/api/v1")
        return super().handle_request(request)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.requests += not request.url.path.startswith("/api/v1")
        return await super().handle_async_request(request)


class Bench:
    """A toolbox over a counted sandbox."""

    def __init__(self, folder: Path) -> None:
        self.wire = Counting(Sandbox(seconds_per_job=0, balance={"blue": 10**9, "yellow": 0}))
        client = Civitai("k", transport=self.wire, retry=Retry(tries=1), ledger=False, home=folder)
        self.box = Toolbox(
            client, include=list(BY_NAME), out=folder / "out", max_buzz=500, local_files=True
        )
        self.tools = {tool.name: CivitaiTool(self.box, tool) for tool in self.box.tools}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    bench = Bench(tmp_path_factory.mktemp("fuzz"))
    yield bench
    bench.box.close()


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def refused(bench: Bench, **arguments: Any) -> str:
    """The message of a call that must be refused before anything is sent."""
    before = bench.wire.requests
    told = json.loads(dispatch(GENERATE, arguments, box=bench.box))
    assert told["code"] == "request_invalid"
    assert told["buzz_spent"] == "no"
    assert bench.wire.requests == before
    assert len(told["error"]) < 2500
    return str(told["error"])


# -- one by one ------------------------------------------------------------------------------------
@pytest.mark.parametrize("prompt", ["", "  ", "\n\t"])
def test_an_empty_prompt(bench: Bench, prompt: str) -> None:
    assert "prompt: empty; say what should be in the picture" in refused(bench, prompt=prompt)


@pytest.mark.parametrize("engine", ["flux2", "grok", "seedream", "qwen"])
def test_a_prompt_of_200_megabytes(bench: Bench, engine: str) -> None:
    prompt = "a fox " * (200 * MEGABYTE // 6)
    began = time.monotonic()
    said = refused(bench, prompt=prompt, engine=engine)
    assert time.monotonic() - began < 5
    assert "characters" in said
    assert len(said) < 600


def test_an_unknown_engine_is_answered_with_the_nearest(bench: Bench) -> None:
    assert "Nearest that works: 'seedream'" in refused(bench, prompt="a fox", engine="seadream")


@pytest.mark.parametrize(
    ("name", "right"),
    [
        ("cfg_scale", "'guidance'"),
        ("aspectRatio", "'aspect_ratio'"),
        ("negative", "'negative_prompt'"),
        ("n", "'quantity'"),
        ("image", "'images'"),
        ("image_url", "'images'"),
        ("size", "'width and height, or aspect_ratio'"),
        ("air", "'model, or loras for a LoRA'"),
        ("heigth", "'height'"),
        ("budget", "'max_buzz'"),
        ("dry_run", "'estimate_only'"),
        ("output_dir", "'folder'"),
        ("timeout", "'wait_seconds'"),
        ("clipSkip", "options, as"),
        ("sampler", "options, as"),
        ("cursor", "cursor of civitai_query_images"),
        ("needs", "needs of civitai_choose_engine"),
    ],
)
def test_a_misspelt_or_misplaced_argument_gets_the_right_name(
    bench: Bench, name: str, right: str
) -> None:
    said = refused(bench, prompt="a fox", **{name: "x"})
    assert said.startswith(f"{name}: there is no such field")
    assert right in said


def test_a_wrong_name_inside_a_lora(bench: Bench) -> None:
    lora = {"air": "urn:air:sdxl:lora:civitai:1@2", "weight": 1}
    said = refused(bench, prompt="a fox", engine="sdxl", loras=[lora])
    assert "Accepted: one of air, strength. Nearest that works: 'strength'." in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"width": "wide"}, "width: not accepted (given 'wide'). Accepted: a whole number."),
        ({"width": True}, "width: not accepted (given True). Accepted: a whole number."),
        ({"quantity": 1.5}, "quantity: not accepted (given 1.5). Accepted: a whole number."),
        ({"loras": "detail"}, "loras.0.air: no model is looked up by a bare name"),
        ({"options": 3}, "options: not accepted (given 3). Accepted: a list."),
        ({"quality": "best"}, "quality: not accepted (given 'best'). Accepted: one of draft, "),
        ({"guidance": math.nan}, "guidance: not accepted (given nan). Accepted: a finite number."),
        ({"strength": math.inf}, "strength: not accepted (given inf). Accepted: a finite number."),
        ({"quantity": -1}, "quantity: not accepted (given -1). Accepted: 1 or more."),
        (
            {"width": -64, "height": 512},
            "width: no size; leave it out, or say pixels such as 1024 (given -64).",
        ),
        ({"max_buzz": -1}, "max_buzz: not accepted (given -1). Accepted: 0 or more."),
        ({"wait_seconds": 1e9}, "wait_seconds: not accepted (given 1000000000.0)."),
        ({"steps": 10**12}, "steps: too large (given 1000000000000). Accepted: 4 to 50"),
        ({"seed": 10**40}, "seed: "),
        ({"seed": -1}, "seed: the service refuses 0 and below (given -1)."),
        ({"width": 10**9, "height": 10**9}, "width: too large (given 1000000000)."),
        ({"aspect_ratio": "wide"}, "aspect_ratio: not accepted (given 'wide')."),
        (
            {"model": "sdxl"},
            "model: no model is looked up by a bare name or number (given 'sdxl'). Accepted: ",
        ),
        ({"images": "missing.png"}, "images: no such file (given 'missing.png')."),
        ({"images": ["~nobody_here/x.png"]}, "images: "),
        ({"images": ["http://example.com/a.png"]}, "images: an unencrypted http URL"),
        ({"images": ["data:text/plain,hello"]}, "images: not a data URL of a picture"),
        ({"images": ["data:image/png;base64,%%%"]}, "images: its base64 is broken"),
        ({"folder": "../../etc"}, "folder: leads out of the output folder"),
        ({"prompt": "half a character \ud800"}, "prompt: holds half a character"),
        ({"tags": ["x"] * 40}, "tags: not accepted"),
        ({"variant": "klein-9"}, "variant: there is no such variant (given 'klein-9')."),
    ],
    ids=lambda v: str(v)[:50],
)
def test_a_wrong_value_is_answered_with_what_is_accepted(
    bench: Bench, arguments: dict[str, Any], said: str
) -> None:
    assert said in refused(bench, **{"prompt": "a fox", **arguments})


def test_a_malformed_air_and_one_of_another_engine(bench: Bench) -> None:
    loras = [{"air": "not an air", "strength": 1}]
    assert "loras.0.air: no model is looked up by a bare name" in refused(
        bench, prompt="a", engine="sdxl", loras=loras
    )
    loras = [{"air": "urn:air:flux1:lora:civitai:1@2", "strength": 1}]
    said = refused(bench, prompt="a", engine="sdxl", loras=loras)
    assert "which engine flux1 takes" in said


def test_a_source_that_is_no_picture(bench: Bench, tmp_path: Path) -> None:
    notes = tmp_path / "notes.txt"
    notes.write_text("not a picture")
    assert "not a jpeg, png, webp, gif, bmp, tiff or avif picture" in refused(
        bench, prompt="a", images=[str(notes)]
    )
    assert "a folder" in refused(bench, prompt="a", images=[str(tmp_path)])


def test_names_and_numbers_without_end_are_answered_briefly(bench: Bench) -> None:
    long = "x" * MEGABYTE
    began = time.monotonic()
    for arguments in (
        {"prompt": "a", long: 1},
        {"prompt": "a", "options": {long: 1}},
        {"prompt": "a", "options": [{"name": long, "value": 1}]},
        {"prompt": "a", "loras": [{"air": "a:1", long: 1}]},
        {"prompt": "a", "engine": long},
        {"prompt": "a", "variant": long},
        {"prompt": "a", "folder": long},
        {"prompt": "a", "images": [long]},
        {"prompt": "a", "seed": 10**5000},
        {"prompt": "a", **{f"name{n}": n for n in range(1000)}},
    ):
        assert len(refused(bench, **arguments)) < 2500
    assert len(dispatch(long, {}, box=bench.box)) < 1000
    assert time.monotonic() - began < 10


# -- by the thousand -------------------------------------------------------------------------------
NAMES = sorted({n for tool in BY_NAME.values() for n in tool.arguments.model_fields})
WORDS = st.sampled_from(
    ["", "null", "a fox", "flux2", "SDXL", "draft", "16:9", "0:0", "..", "/etc/passwd", "-1", "1e9",
     "urn:air:sdxl:lora:civitai:1@2", "data:,", "file:///etc/passwd", "\ud800", "\0", "фокс", "7d"]
)  # fmt: skip
NUMBERS = st.one_of(
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.sampled_from([0, 1, -1, 512, 1024, 10**400]),
)
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, WORDS, st.text(max_size=20)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=12), inner, max_size=3)
    ),
    max_leaves=6,
)
LIKELY: dict[str, st.SearchStrategy[Any]] = {
    "prompt": st.sampled_from(["a fox", "a hare", ""]),
    "engine": st.sampled_from(["flux2", "SDXL", "z-image", "grok", "qwen", "flux"]),
    "quality": st.sampled_from(["draft", "Standard", "high", "best"]),
    "aspect_ratio": st.sampled_from(["16:9", "1:1", "9:19.5", "5:1"]),
    "width": st.integers(0, 5000),
    "height": st.integers(0, 5000),
    "quantity": st.integers(-1, 20),
    "strength": st.floats(-1, 2),
    "images": st.lists(st.sampled_from(["https://example.com/a.png", "a.png"]), max_size=3),
    "seed": st.integers(-1, 2**64),
    "needs": st.lists(st.sampled_from(["photo", "4k", "anime", "lora", "nothing"]), max_size=3),
    "references": st.integers(-1, 20),
    "id": st.sampled_from(["1-2", "../..", "x y", "a" * 300]),
    "max_buzz": st.integers(-1, 600),
    "tags": st.lists(st.text(max_size=5), max_size=3),
    "take": st.integers(-1, 60),
    "since": st.sampled_from(["7d", "yesterday", "2026-01-01", "9999999d"]),
}
SIMPLE = {"prompt": "a fox", "id": "1-2"}
WILD = st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=15), VALUES, max_size=4)
#: Nobody is kept waiting by a fuzzer: what is well-formed is submitted or only priced.
QUICK = st.sampled_from([{"wait_seconds": 0}, {"wait_seconds": 0}, {"estimate_only": True}])
TOOL = st.sampled_from([GENERATE, GENERATE, GENERATE, *BY_NAME])

fuzzed = settings(
    max_examples=CALLS,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)


@st.composite
def calls(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    """A tool and arguments: some likely ones of its own, and in half of the calls wild ones."""
    name = draw(TOOL)
    fields = BY_NAME[name].arguments.model_fields
    own = [n for n in LIKELY if n in fields]
    said = draw(st.lists(st.sampled_from(own), unique=True, max_size=3)) if own else []
    arguments = {n: v for n, v in SIMPLE.items() if n in fields}
    arguments |= {n: draw(LIKELY[n]) for n in said}
    if draw(st.booleans()):
        arguments |= draw(WILD)
    arguments |= {n: v for n, v in draw(QUICK).items() if n in fields}
    return name, arguments


def judge(text: str) -> bool:
    """Is it a result, or an error that teaches? True for a result."""
    told = json.loads(text)
    assert len(text) < 20_000
    assert "Traceback" not in text
    text.encode()
    if "error" not in told:
        return True
    assert told["code"] in {"request_invalid", "over_budget", "not_found", "refused_by_service"}
    assert told["buzz_spent"] == "no"
    assert len(told["error"]) > 20
    return False


@pytest.mark.slow
def test_whatever_is_dispatched_ends_in_a_result_or_a_taught_error(shared: Bench) -> None:
    outcomes = []

    @fuzzed
    @given(calls(), st.booleans())
    def fuzz(call: tuple[str, dict[str, Any]], as_text: bool) -> None:
        name, arguments = call
        raw = json.dumps(arguments) if as_text else arguments
        outcomes.append(judge(dispatch(name, raw, box=shared.box)))

    fuzz()
    assert len(outcomes) >= CALLS
    assert sum(outcomes) > CALLS // 20
    assert sum(not result for result in outcomes) > CALLS // 20


@pytest.mark.slow
def test_whatever_langchain_passes_ends_in_a_result_or_a_taught_error(shared: Bench) -> None:
    outcomes = []

    @fuzzed
    @given(calls(), st.booleans())
    def fuzz(call: tuple[str, dict[str, Any]], waits: bool) -> None:
        name, arguments = call
        asked = {"name": name, "args": arguments, "id": "1", "type": "tool_call"}
        tool = shared.tools[name]
        message = asyncio.run(tool.ainvoke(asked)) if waits else tool.invoke(asked)
        good = judge(message.content)
        assert message.status == ("success" if good else "error")
        outcomes.append(good)

    fuzz()
    assert len(outcomes) >= CALLS
    assert sum(outcomes) > CALLS // 20
