"""What the developer fixes when the tools are made; no argument of a model overrides it."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, create_model

from civitai_skill.config import expand_home
from civitai_skill.engines import catalog
from civitai_skill.engines.index import is_text
from civitai_skill.engines.planning.sources import named
from civitai_skill.errors import Problem, RequestInvalid
from civitai_skill.images.sources import EVERY_SOURCE, SourcePolicy, local_path, scheme_of
from civitai_skill.purchase.body_rules import check_body
from civitai_skill.purchase.events import Tell
from civitai_skill.purchase.order import WorkflowBody
from civitai_skill.schema.air import fold
from civitai_skill.schema.fields import FIELDS
from civitai_skill.schema.finish_request import FinishRequest
from civitai_skill.schema.request import ImageRequest
from civitai_skill.schema.types import Text, read_json
from civitai_skill.tools import arguments, words
from civitai_skill.tools.finishing import FinishImage

OUT = Path("pictures")
#: The door's name in the ledger; a request that an agent repeats goes on with the first one.
PURPOSE = "tools"

# Fields of the arguments that are the request's own.
DEFAULT_ENGINE = str(arguments.EstimateImage.model_fields["engine"].default)
_REQUEST = tuple(name for name in arguments.EstimateImage.model_fields if name != "options")
_FINISHING = tuple(name for name in FinishImage.model_fields if name in FinishRequest.model_fields)
#: Arguments of a tool that prices or buys.
Buying = arguments.EstimateImage | FinishImage | arguments.GenerateBody
_MODELS = ("model", "loras", "embeddings", "vae")
_PART = re.compile(r"[\w][\w .-]{0,99}")


@dataclass(frozen=True)
class ToolSettings:
    """The developer's settings.

    Pictures go to `out` and its subfolders, nowhere else. `max_buzz` is the most one call may
    cost. `engines` narrows what may be used. `sources` says which addresses may be named; without
    `local_files` a source picture may be one of those, or a file that lies in `out`. `tags` are put
    on every workflow; `allow_mature_content` and `currencies` are sent with every purchase. `tell`
    hears every event of a call, `wait` is how long one waits that does not say (seconds), and
    `tools` names the tools that there are. Without `pictures` no answer holds a picture, and no
    model can ask for one. `every_engine` says that no engine is left out.
    """

    max_buzz: int
    out: Path = OUT
    engines: tuple[str, ...] = catalog.NAMES
    local_files: bool = False
    tags: tuple[str, ...] = ()
    allow_mature_content: bool | None = None
    currencies: tuple[str, ...] | None = None
    tell: Tell | None = None
    wait: float = arguments.WAIT
    sources: SourcePolicy = EVERY_SOURCE
    tools: tuple[str, ...] = ()
    default_engine: str = DEFAULT_ENGINE
    pictures: bool = True
    every_engine: bool = True

    def narrow(self, model: type[arguments.Arguments]) -> type[arguments.Arguments]:
        """An argument model with the wait that was fixed, which offers, and speaks of, only what is
        allowed."""
        if self.wait != arguments.WAIT and "wait_seconds" in model.model_fields:
            told = f"Wait so many seconds for its end. Default {self.wait:g}; 0 does not wait."
            waits: Any = (arguments.Seconds, Field(default=self.wait, description=told))
            model = create_model(model.__name__, __base__=model, wait_seconds=waits)
        if not self.pictures and arguments.PICTURES & model.model_fields.keys():
            kept: dict[str, Any] = {
                name: (field.annotation, field)
                for name, field in model.model_fields.items()
                if name not in arguments.PICTURES
            }
            model = create_model(
                model.__name__, __base__=arguments.Arguments, __doc__=model.__doc__, **kept
            )
        if "engine" not in model.model_fields or self.every_engine:
            return model
        if model.model_fields["engine"].default is None:
            return model  # it only narrows a search, whose answer is narrowed anyhow
        changed: dict[str, Any] = {
            name: (Text | None, Field(default=None, description=say(self.engines)))
            for name, say in words.FIELDS.items()
        }
        engine = Field(
            default=self.default_engine, description=words.engine(self.engines, self.default_engine)
        )
        kind: Any = Annotated[Text, words.one_of(self.engines)]
        return create_model(model.__name__, __base__=model, engine=(kind, engine), **changed)

    # -- the request -------------------------------------------------------------------------------
    def asked(self, given: Buying) -> ImageRequest | FinishRequest | WorkflowBody:
        """What a tool's arguments ask for. Raises RequestInvalid."""
        if isinstance(given, FinishImage):
            said = {n: getattr(given, n) for n in _FINISHING if n in given.model_fields_set}
            finishing = FinishRequest(**said)
            for i, source in enumerate(finishing.images):
                self._check_source(
                    source, "images" if len(finishing.images) == 1 else f"images.{i}"
                )
            return finishing
        if isinstance(given, arguments.GenerateBody):
            # The service reads no files, so an address is all that a body can name.
            return WorkflowBody(check_body(given.body, replace(self.sources, local=False)))
        said = {n: getattr(given, n) for n in _REQUEST if n in given.model_fields_set}
        fields = _split_options(given) if given.options else {}
        by_model = any(said.get(n) or fields.get(n) for n in _MODELS)
        if said.get("engine", self.default_engine) == self.default_engine:
            # Some hosts fill in every default; the engine of models that are named follows from
            # them, where none is left out.
            if by_model and self.every_engine:
                said.pop("engine", None)
            else:
                said["engine"] = self.default_engine
        # It stays as it was given: it may mean a variant, too.
        engine = str(said.get("engine", self.default_engine))
        if engine not in self.engines:  # it may be spelt otherwise
            self.check_engine(engine)
        request = ImageRequest(**said, **fields)
        for place, source in named(request):
            self._check_source(source, place)
        return request

    def check_engine(self, engine: str) -> None:
        """Refuse an engine that is not allowed, or none. Raises RequestInvalid."""
        if catalog.find(engine[:200]).name not in self.engines:
            accepted = "one of " + ", ".join(self.engines)
            why = "these tools are set up without this engine"
            raise RequestInvalid(Problem("engine", engine, accepted, None, why))

    def _check_source(self, source: str, place: str) -> None:
        if scheme_of(source) in ("", "file") and is_inside(source, self.out):
            return
        try:
            replace(self.sources, local=self.local_files).check(source, place)
        except RequestInvalid as error:
            what = "an https URL" if self.sources.private else "an https URL of a public host"
            file = "a file" if self.local_files else "a picture that these tools saved"
            accepted = f"{what}, or {file}"
            raise error.about(replace(error.problems[0], accepted=accepted)) from None

    def purchase_options(self, given: arguments.Arguments) -> dict[str, Any]:
        """What surrounds a purchase, where its pictures go included. Raises RequestInvalid."""
        most, folder = getattr(given, "max_buzz", None), getattr(given, "folder", None)
        options = {
            "out": self.out if folder is None else self.folder(folder),
            # A model may lower the limit, not raise it.
            "max_buzz": self.max_buzz if most is None else min(most, self.max_buzz),
            "purpose": PURPOSE,
            "tell": self.tell,
            "again": getattr(given, "again", False),  # where an interface offers it
        }
        if isinstance(given, arguments.GenerateBody):
            return options  # it says the rest itself
        return {
            **options,
            "allow_mature_content": self.allow_mature_content,
            "currencies": self.currencies,
            "sources": self.sources,  # files were looked at apart: those in `out` are let in
            "tags": list(dict.fromkeys((*self.tags, *getattr(given, "tags", ())))),
        }

    # -- the disk ----------------------------------------------------------------------------------
    def folder(self, name: str) -> Path:
        """A subfolder for pictures. Raises RequestInvalid for a way out of the output folder."""
        parts = name.strip().split("/")
        usable = len(name) <= 200 and all(_PART.fullmatch(p) and p[-1] not in " ." for p in parts)
        if not usable or not is_inside(str(self.out.joinpath(*parts)), self.out):
            why = "leads out of the output folder, or is no plain name"
            accepted = "a subfolder such as foxes/red: letters, digits, spaces, dots, - and _"
            raise RequestInvalid(Problem("folder", name, accepted, None, why))
        return self.out.joinpath(*parts)


def _split_options(given: arguments.EstimateImage) -> dict[str, Any]:
    """The options that are fields of the request, and among them the engine's own."""
    fields: dict[str, Any] = {}
    options: dict[str, Any] = {}
    for option in given.options:
        name = next((n for n in arguments.IN_OPTIONS if fold(n) == fold(option.name)), None)
        into = options if name is None else fields
        key = name or option.name
        if key in into:
            raise RequestInvalid(Problem("options", option.name, "each name once"))
        into[key] = _option_value(option, given.engine) if name is None else _own(name, option)
    return {**fields, "options": options}


def _own(name: str, option: arguments.Option) -> Any:
    """The value of a field of the request: whatever is no text is read as JSON."""
    kind = next(field.kind for field in FIELDS if field.name == name)
    if kind in ("text", "choice") or not isinstance(option.value, str):
        return option.value
    if kind in ("whole", "number"):
        return arguments.to_number(option.value)
    if kind == "flag":
        return {"true": True, "false": False}.get(option.value.strip().lower(), option.value)
    value = arguments.unpack_json(option.value)
    return [value] if isinstance(value, str) else value


def _option_value(option: arguments.Option, engine: str) -> Any:
    """An option's value: JSON where it is JSON, but text where the engine wants text."""
    if not isinstance(option.value, str):
        return option.value
    try:
        value = read_json(option.value)
    except ValueError:
        return option.value
    is_told_as_text = is_text(option.name, catalog.find(engine).name)
    return value if isinstance(value, str) or not is_told_as_text else option.value


def is_inside(path: str, folder: Path) -> bool:
    """Does a path or a file URL stay in the folder, links followed?"""
    try:
        return local_path(path).resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError, ValueError):
        return False


def price_options(buying: Mapping[str, Any]) -> dict[str, Any]:
    """What a price request is sent with, of what surrounds a purchase."""
    wanted = ("allow_mature_content", "currencies", "sources")
    return {name: buying[name] for name in wanted if name in buying}


def make_settings(
    max_buzz: int,
    *,
    out: str | os.PathLike[str] = OUT,
    engines: Sequence[str] | None = None,
    local_files: bool = False,
    private_urls: bool = False,
    tags: Sequence[str] = (),
    allow_mature_content: bool | None = None,
    currencies: Sequence[str] | None = None,
    wait: float | None = None,
    pictures: bool = True,
    service: str = "",
    tools: Sequence[str] = (),
) -> ToolSettings:
    """Settings from a developer's keywords, those of ToolSettings.

    Without `private_urls` no address of this machine or its network may be named but the
    service's own; `service` is its base URL. Raises RequestInvalid for an unknown engine.
    """
    # Engines of a fetched document come in when the tools are made.
    wanted = catalog.names() if engines is None else engines
    names = [catalog.find(name).name for name in wanted]
    if wait is not None and not 0 <= wait <= arguments.LONGEST_WAIT:
        raise RequestInvalid(Problem("wait", wait, f"0 to {arguments.LONGEST_WAIT} seconds"))
    return ToolSettings(
        max_buzz,
        out=expand_home(out),
        engines=tuple(dict.fromkeys(names)),
        local_files=local_files,
        tags=tuple(tags),
        allow_mature_content=allow_mature_content,
        currencies=None if currencies is None else tuple(currencies),
        wait=arguments.WAIT if wait is None else wait,
        sources=SourcePolicy(private=private_urls, service=service),
        tools=tuple(tools),
        pictures=pictures,
        default_engine=DEFAULT_ENGINE if DEFAULT_ENGINE in names else names[0],
        every_engine=set(names) == set(catalog.NAMES),
    )
