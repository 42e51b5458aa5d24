"""The tools as plain functions: what frameworks read of them, and what a call comes to."""

from __future__ import annotations

import asyncio
import inspect
import json
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest

from civitai_skill import Civitai, Toolbox
from civitai_skill.sandbox import Sandbox
from civitai_skill.tools.registry import TOOLS

LORA = "urn:air:sdxl:lora:civitai:1@2"
SIMPLE = {str, int, float, bool, type(None)}


@pytest.fixture
def box(tmp_path: Path) -> Toolbox:
    client = Civitai(sandbox=Sandbox(seconds_per_job=0.01), home=tmp_path / "home")
    return Toolbox(client, include=[tool.name for tool in TOOLS], out=tmp_path / "out")


def is_plain(kind: Any) -> bool:
    """Is it a type that every framework reads?"""
    return kind in SIMPLE or all(map(is_plain, get_args(kind) or [object]))


@pytest.mark.parametrize("asynchronous", [False, True])
def test_every_argument_is_spelled_out_annotated_and_told(box: Toolbox, asynchronous: bool) -> None:
    made = box.callables(asynchronous=asynchronous)
    assert [function.__name__ for function in made] == [tool.name for tool in box.tools]
    for function in made:
        assert inspect.iscoroutinefunction(function) is asynchronous
        signature, hints = inspect.signature(function), get_type_hints(function)
        assert (signature.return_annotation, hints.pop("return")) == (str, str)
        assert list(hints) == list(signature.parameters)
        wanted = [n for n in box.models[function.__name__].model_fields if n != "include_image"]
        assert list(signature.parameters) == wanted
        doc = inspect.cleandoc(function.__doc__ or "")
        told = doc.partition("\nArgs:\n")[2].partition("\n\nReturns:\n")[0].splitlines()
        assert [line.split(":")[0] for line in told] == [f"    {name}" for name in wanted]
        assert all(len(line.partition(": ")[2]) > 3 for line in told)
        for parameter in signature.parameters.values():
            assert parameter.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
            assert is_plain(parameter.annotation), parameter
            assert parameter.default in (None, inspect.Parameter.empty)


def test_choices_are_told_in_words(box: Toolbox) -> None:
    told = {f.__name__: f.__doc__ or "" for f in box.callables()}
    assert "One of jpeg, png, webp." in told["civitai_generate_image"]
    assert "One of anything, photo, portrait, " in told["civitai_choose_engine"]
    assert told["civitai_generate_image"].count("seedream") == 1


def test_a_call_answers_with_text_sync_and_async(box: Toolbox) -> None:
    generate = {f.__name__: f for f in box.callables()}["civitai_generate_image"]
    made = json.loads(generate("a fox", seed=7, quantity=None))
    assert Path(made["images"][0]["path"]).is_file()
    later = {f.__name__: f for f in box.callables(asynchronous=True)}["civitai_get_image"]
    assert json.loads(asyncio.run(later(made["id"])))["images"] == made["images"]


def test_lists_of_objects_are_said_as_text(box: Toolbox) -> None:
    generate = box.callables()[0]
    loras = [f"{LORA}=0.5", '{"air": "urn:air:sdxl:lora:civitai:3@4", "strength": 0.7}',
             "urn:air:sdxl:lora:civitai:5@6"]  # fmt: skip
    told = json.loads(generate("a fox", engine="sdxl", loras=loras, options=["uCache=normal"]))
    assert told["status"] == "succeeded", told
    sent = box.call("civitai_query_images", {}).artifact.items[0].input
    assert list(sent["loras"].values()) == [0.5, 0.7, 1]
    assert sent["uCache"] == "normal"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"promt": "a fox"}, "Nearest that works: 'prompt'"),
        ({}, "prompt: is required"),
        ({"prompt": "a fox", "quantity": 0}, "Accepted: 1 or more"),
        ({"prompt": "a fox", "options": ["no sign"]}, "options"),
        ({"prompt": "a fox", "loras": "something=else"}, "loras"),
    ],
)
def test_what_is_wrong_is_told_and_never_raised(
    box: Toolbox, given: dict[str, Any], said: str
) -> None:
    told = json.loads(box.callables()[0](**given))
    assert said in told["error"]
    assert told["buzz_spent"] == "no"
