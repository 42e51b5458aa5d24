"""A new family is one new file and one line of the catalog; nothing else has heard of it.

Three families that resemble what is to come are added to a scratch copy of the package: one with a
mask and style references, one whose sizes have names, one that is named like its variant.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.support.paths import ROOT

HEAD = """
from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from civitai_skill.engines import forms
from civitai_skill.engines.family import Family, Fit, Variant, Way
from civitai_skill.engines.sizing import FollowsSource, Named
from civitai_skill.schema.types import Mask, Number, Picture, Style, Text
"""

#: {module: its text}
FAMILIES = {
    "retouch": HEAD
    + """

class Reference(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=to_camel)
    image_url: Style
    strength: Number = 1.0


class Retouch(forms.Wire):
    engine: Literal["retouch"] = "retouch"
    prompt: Text
    quantity: forms.Quantity4 = 1

    buzz = forms.flat(7)


class RetouchCreate(Retouch, forms.Create):
    image_style_references: list[Reference] = []


class RetouchEdit(Retouch, forms.Edit3):
    sizing = FollowsSource()
    mask: Mask | None = Field(None, alias="maskImage")


FAMILY = Family(
    name="retouch", title="Retouch", maker="Nobody", suits="parts of a picture",
    variants=(
        Variant(
            "one", (Way(RetouchCreate), Way(RetouchEdit)), best_for="masks",
            fits=(Fit("inpaint", 99, "takes a mask", pictures=1, source="this test"),),
        ),
    ),
    quality={"draft": "one", "standard": "one", "high": "one"},
    best_for=("masks",), avoid_for=("the rest",), prompt="Say what changes.",
)
""",
    "posterize": HEAD
    + """

class Posterize(forms.Create):
    sizing = Named(("size",))
    engine: Literal["posterize"] = "posterize"
    prompt: Text
    negative_prompt: Text | None = None
    size: Literal["1024x1024", "1536x1024", "1024x1536", "auto"] = "1024x1024"

    buzz = forms.flat(11)


FAMILY = Family(
    name="posterize", title="Posterize", maker="Nobody", suits="named sizes",
    variants=(Variant("one", (Way(Posterize),), best_for="sizes"),),
    quality={"draft": "one", "standard": "one", "high": "one"},
    best_for=("sizes",), avoid_for=("the rest",), prompt="Say it.",
)
""",
    "kaolin": HEAD
    + """

class Kaolin(forms.Comfy, forms.Sized, forms.Create):
    ecosystem: Literal["kaolin"] = "kaolin"
    prompt: forms.LongText
    quantity: forms.Quantity12 = 1


class Standard(Kaolin):
    model_name: Literal["kaolin"] = Field("kaolin", alias="model")
    steps: forms.Steps150 = 20

    buzz = forms.rate(20)


class Turbo(Kaolin):
    model_name: Literal["turbo"] = Field("turbo", alias="model")
    steps: forms.Steps150 = 8

    buzz = forms.rate(8, steps=8)


FAMILY = Family(
    name="kaolin", title="Kaolin", maker="Nobody", suits="names",
    variants=(
        Variant("kaolin", (Way(Standard),), best_for="names"),
        Variant("turbo", (Way(Turbo),), best_for="drafts"),
    ),
    quality={"draft": "turbo", "standard": "kaolin", "high": "kaolin"},
    best_for=("names",), avoid_for=("the rest",), prompt="Say it.",
    sizes={"1:1": (1024, 1024), "16:9": (1344, 768)},
)
""",
}

SCRIPT = """
import json, sys
from pathlib import Path
from civitai_skill import Civitai, ImageRequest, RequestInvalid, Toolbox, choose_engine
from civitai_skill.adapters.functions import openai_tools
from civitai_skill.engines.cards import card, table
from civitai_skill.engines.describe import describe_engine
from civitai_skill.engines.index import list_engines
from civitai_skill.engines.planning.plan import plan
from civitai_skill.purchase.order import Order
from civitai_skill.purchase.prepare import prepare
from civitai_skill.images.sidecar import sidecar_facts
from civitai_skill.sandbox import Sandbox

said = {}
def decide(name, **fields):
    try:
        made = plan(ImageRequest(prompt="a fox", **fields))
    except RequestInvalid as error:
        said[name] = {"refused": error.problems[0].sentence()}
    else:
        said[name] = {"variant": made.variant, "buzz": made.price.buzz, "size": made.size,
                      "sent": made.form.sent()}

decide("draft", engine="kaolin", quality="draft")
decide("standard", engine="kaolin")
decide("named", engine="kaolin", variant="kaolin", quality="draft")
decide("ratio", engine="posterize", aspect_ratio="3:2")
decide("pixels", engine="posterize", width=1024, height=1536)
decide("auto", engine="posterize", aspect_ratio="auto")
decide("no_ratio", engine="posterize", aspect_ratio="16:9")
decide("no_pixels", engine="posterize", width=1500, height=1000)
decide("option", engine="posterize", options={"size": "1536x1024"})
decide("no_size", engine="retouch", aspect_ratio="16:9")
for name in ("retouch", "posterize", "kaolin"):
    said[f"described {name}"] = describe_engine(name)
    said[f"card {name}"] = card(name)
said["table"] = table()
said["listed"] = {engine["name"]: engine for engine in list_engines()}
said["chosen"] = [(c.engine, c.arguments, c.price.buzz) for c in choose_engine(["inpaint"])]
edit = {"engine": "retouch", "images": ["source.png"]}
with Civitai(sandbox=Sandbox(balance={"blue": 900}), home="home") as client:
    box = Toolbox(client, out="out", max_buzz=60)
    generate = next(t for t in openai_tools(box) if "generate" in t["function"]["name"])
    said["engine"] = generate["function"]["parameters"]["properties"]["engine"]
    masked = client.generate("a fox", out="out", mask="mask.png", **edit)
    said["masked"] = masked.workflow.input
    said["sizes"] = [(p.width, p.height) for p in masked.pictures]
    wide = client.generate("a fox", out="out", engine="posterize", aspect_ratio="3:2")
    said["wide"] = [(p.width, p.height) for p in wide.pictures]
    styles = [{"imageUrl": "mask.png"}, {"imageUrl": "https://example.com/a.png", "strength": 2}]
    styled = client.generate("a fox", out="out", engine="retouch", max_buzz=9,
                             options={"image_style_references": styles})
    said["styled"] = styled.workflow.input["imageStyleReferences"]
    for name, mask in (("gone", "gone.png"), ("http", "http://a.test/mask.png")):
        try:
            client.generate("a fox", mask=mask, **edit)
        except RequestInvalid as error:
            said[name] = error.problems[0].sentence()
    for mask in ("mask.png", "https://10.0.0.1/mask.png"):
        images = ["https://example.com/a.png"]
        told = box.call("civitai_generate_image", {"prompt": "a fox", "engine": "retouch",
                                                  "images": images, "mask": mask})
        said[f"tool {mask}"] = told.text
masks = [ImageRequest(prompt="a fox", mask=f"{name}.png", **edit)
         for name in ("mask", "same", "other")]
said["noted"] = sidecar_facts(masks[0])["request"]
said["identities"] = [prepare(Order(r)).identity(Order(r)) for r in masks]
json.dump(said, sys.stdout)
"""


def ran(code: str, package: Path, folder: Path) -> str:
    env = {**os.environ, "PYTHONPATH": str(package), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=folder,
        env=env,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What the scratch copy says of the three, and does with them."""
    copy, folder = tmp_path_factory.mktemp("copy"), tmp_path_factory.mktemp("work")
    engines = copy / "civitai_skill/engines"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "civitai_skill", copy / "civitai_skill", ignore=ignored)
    catalog = (engines / "catalog.py").read_text(encoding="utf-8")
    lines = "".join(f'    Entry("{name}", "{name}"),\n' for name in FAMILIES)
    head, mark, rest = catalog.partition("CATALOG: tuple[Entry, ...] = (\n")
    (engines / "catalog.py").write_text(head + mark + lines + rest, encoding="utf-8")
    for name, text in FAMILIES.items():
        (engines / f"families/{name}.py").write_text(text, encoding="utf-8")
    render = (
        "from civitai_skill.engines import index, summary; "
        "index.FILE.write_text(summary.rendered(), encoding='utf-8')"
    )
    ran(render, copy, folder)
    exif = Image.Exif()
    exif[0x010E] = "told by the camera"
    Image.new("RGB", (64, 48), (9, 99, 9)).save(folder / "source.png")
    for name, colour in (("mask", 255), ("other", 128)):
        Image.new("L", (64, 48), colour).save(folder / f"{name}.png", exif=exif)
    shutil.copy(folder / "mask.png", folder / "same.png")
    return {"folder": str(folder), **json.loads(ran(SCRIPT, copy, folder))}


def test_a_family_named_like_its_variant_is_both(said: Any) -> None:
    decided = {n: (said[n]["variant"], said[n]["buzz"]) for n in ("draft", "standard", "named")}
    assert decided == {"draft": ("turbo", 8), "standard": ("kaolin", 20), "named": ("kaolin", 20)}
    assert said["described kaolin"]["qualities"]["draft"]["variant"] == "turbo"


def test_a_ratio_and_pixels_choose_a_named_size(said: Any) -> None:
    names = {n: said[n]["sent"].get("size") for n in ("ratio", "pixels", "auto", "option")}
    assert names == {
        "ratio": "1536x1024", "pixels": "1024x1536", "auto": "auto", "option": "1536x1024",
    }  # fmt: skip
    assert (said["ratio"]["size"], said["auto"]["size"]) == ([1536, 1024], None)
    assert "one of 1:1, 3:2, 2:3, auto" in said["no_ratio"]["refused"]
    assert "aspect_ratio 3:2" in said["no_pixels"]["refused"]
    assert "there is no size to choose here" in said["no_size"]["refused"]
    assert said["described posterize"]["variants"][0]["sizes"]["2:3"] == [1024, 1536]


def test_a_named_size_is_what_is_drawn(said: Any) -> None:
    assert said["wide"] == [[1536, 1024]]


def test_a_mask_travels_inside_and_bare_like_every_source(said: Any) -> None:
    mask = said["masked"]["maskImage"]
    assert mask.startswith("data:image/png;base64,")
    assert said["masked"]["images"][0].startswith("data:image/png;base64,")
    assert said["sizes"] == [[64, 48]]
    from civitai_skill.images.sources import Source, open_source

    opened = open_source(f"{said['folder']}/mask.png")
    assert isinstance(opened, Source)
    assert mask == opened.data_url()
    assert b"told by the camera" not in opened.data


def test_a_mask_is_remembered_by_its_full_path(said: Any) -> None:
    assert said["noted"]["mask"] == f"{said['folder']}/mask.png"
    assert said["noted"]["images"] == [f"{said['folder']}/source.png"]


def test_a_purchase_is_known_by_the_content_of_its_mask(said: Any) -> None:
    first, same, other = said["identities"]
    assert first == same
    assert first != other


def test_a_mask_is_held_to_the_rule_of_sources(said: Any) -> None:
    assert said["gone"].startswith("mask: no such file")
    assert "unencrypted" in said["http"]
    for mask in ("mask.png", "https://10.0.0.1/mask.png"):
        assert "mask" in said[f"tool {mask}"]
        assert "https URL of a public host" in said[f"tool {mask}"]


def test_a_style_reference_inside_an_object_is_a_source_too(said: Any) -> None:
    file, url = said["styled"]
    assert file["imageUrl"].startswith("data:image/png;base64,")
    assert url == {"imageUrl": "https://example.com/a.png", "strength": 2}


def test_readers_that_load_no_family_know_them(said: Any) -> None:
    offered = json.dumps(said["engine"])
    assert all(f'"{name}"' in offered for name in FAMILIES)
    assert "retouch for parts of a picture; " in offered
    assert said["listed"]["posterize"]["buzz"] == {"draft": 11, "standard": 11, "high": 11}
    assert "aspect_ratio" in said["listed"]["posterize"]["takes"]
    assert "aspect_ratio" not in said["listed"]["retouch"]["takes"]
    assert all(f"| `{name}` |" in said["table"] for name in FAMILIES)
    assert "a picture: a file, an https URL or a data URL" in said["card retouch"]


def test_a_score_from_a_source_goes_before_judgements(said: Any) -> None:
    assert said["chosen"][0] == ["retouch", {"engine": "retouch", "variant": "one"}, 7]
