"""Pictures from Civitai's orchestration service, for people and their agents.

Names load on first use, so that importing the package costs next to nothing.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

from civitai_skill._version import __version__

#: The public names by the module that has them.
_NAMES = {
    "api.changes": "Canceled",
    "api.models": "Workflow",
    "api.progress": "Progress",
    "api.service": "Retry",
    "api.workflows": "Page Quote",
    "batch.run": "arun_batch arun_sweep run_batch run_sweep",
    "client.clients": "AsyncCivitai Civitai",
    "client.finish_functions": "afinish_image finish_image",
    "client.functions":
        "aagain_image acancel_image achoose_engine aestimate_image again_image agenerate_image "
        "aget_image aquery_images aqueryimagegens aremix asubmit_image asubmitimagegen "
        "cancel_image estimate_image generate_image get_image query_images queryimagegens remix "
        "submit_image submitimagegen",
    "client.model_functions": "adescribe_model asearch_models describe_model search_models",
    "config": "Settings",
    "engines.choices": "Choice",
    "engines.choose": "choose_engine",
    "engines.describe": "describe_engine estimate_offline",
    "engines.index": "list_engines",
    "engines.planning.plan": "Price",
    "errors":
        "ApiError BadRequest CivitaiError ConfigError Forbidden NotEnoughBuzz NotFound OverBudget "
        "RateLimited RequestInvalid ServerError StillRunning TransportFailed Unauthorized "
        "WorkflowFailed explain",
    "errors.problem": "Problem",
    "purchase.order": "WorkflowBody",
    "purchase.prepare": "build_workflow",
    "purchase.result": "Generation Picture",
    "remix.remix": "Remix",
    "resources.describe": "ModelDescription",
    "resources.records": "Resource",
    "resources.search": "FoundModels",
    "schema.air": "Air",
    "schema.finish_request": "FinishRequest",
    "schema.parts": "Lora",
    "schema.request": "ImageRequest",
    "tools.toolbox": "Toolbox",
}  # fmt: skip
_HOMES = {name: home for home, names in _NAMES.items() for name in names.split()}

__all__ = ["__version__", *sorted(_HOMES)]

if TYPE_CHECKING:
    from civitai_skill.api.changes import Canceled as Canceled
    from civitai_skill.api.models import Workflow as Workflow
    from civitai_skill.api.progress import Progress as Progress
    from civitai_skill.api.service import Retry as Retry
    from civitai_skill.api.workflows import Page as Page
    from civitai_skill.api.workflows import Quote as Quote
    from civitai_skill.batch.run import arun_batch as arun_batch
    from civitai_skill.batch.run import arun_sweep as arun_sweep
    from civitai_skill.batch.run import run_batch as run_batch
    from civitai_skill.batch.run import run_sweep as run_sweep
    from civitai_skill.client.clients import AsyncCivitai as AsyncCivitai
    from civitai_skill.client.clients import Civitai as Civitai
    from civitai_skill.client.finish_functions import afinish_image as afinish_image
    from civitai_skill.client.finish_functions import finish_image as finish_image
    from civitai_skill.client.functions import aagain_image as aagain_image
    from civitai_skill.client.functions import acancel_image as acancel_image
    from civitai_skill.client.functions import achoose_engine as achoose_engine
    from civitai_skill.client.functions import aestimate_image as aestimate_image
    from civitai_skill.client.functions import again_image as again_image
    from civitai_skill.client.functions import agenerate_image as agenerate_image
    from civitai_skill.client.functions import aget_image as aget_image
    from civitai_skill.client.functions import aquery_images as aquery_images
    from civitai_skill.client.functions import aqueryimagegens as aqueryimagegens
    from civitai_skill.client.functions import aremix as aremix
    from civitai_skill.client.functions import asubmit_image as asubmit_image
    from civitai_skill.client.functions import asubmitimagegen as asubmitimagegen
    from civitai_skill.client.functions import cancel_image as cancel_image
    from civitai_skill.client.functions import estimate_image as estimate_image
    from civitai_skill.client.functions import generate_image as generate_image
    from civitai_skill.client.functions import get_image as get_image
    from civitai_skill.client.functions import query_images as query_images
    from civitai_skill.client.functions import queryimagegens as queryimagegens
    from civitai_skill.client.functions import remix as remix
    from civitai_skill.client.functions import submit_image as submit_image
    from civitai_skill.client.functions import submitimagegen as submitimagegen
    from civitai_skill.client.model_functions import adescribe_model as adescribe_model
    from civitai_skill.client.model_functions import asearch_models as asearch_models
    from civitai_skill.client.model_functions import describe_model as describe_model
    from civitai_skill.client.model_functions import search_models as search_models
    from civitai_skill.config import Settings as Settings
    from civitai_skill.engines.choices import Choice as Choice
    from civitai_skill.engines.choose import choose_engine as choose_engine
    from civitai_skill.engines.describe import describe_engine as describe_engine
    from civitai_skill.engines.describe import estimate_offline as estimate_offline
    from civitai_skill.engines.index import list_engines as list_engines
    from civitai_skill.engines.planning.plan import Price as Price
    from civitai_skill.errors import ApiError as ApiError
    from civitai_skill.errors import BadRequest as BadRequest
    from civitai_skill.errors import CivitaiError as CivitaiError
    from civitai_skill.errors import ConfigError as ConfigError
    from civitai_skill.errors import Forbidden as Forbidden
    from civitai_skill.errors import NotEnoughBuzz as NotEnoughBuzz
    from civitai_skill.errors import NotFound as NotFound
    from civitai_skill.errors import OverBudget as OverBudget
    from civitai_skill.errors import RateLimited as RateLimited
    from civitai_skill.errors import RequestInvalid as RequestInvalid
    from civitai_skill.errors import ServerError as ServerError
    from civitai_skill.errors import StillRunning as StillRunning
    from civitai_skill.errors import TransportFailed as TransportFailed
    from civitai_skill.errors import Unauthorized as Unauthorized
    from civitai_skill.errors import WorkflowFailed as WorkflowFailed
    from civitai_skill.errors import explain as explain
    from civitai_skill.errors.problem import Problem as Problem
    from civitai_skill.purchase.order import WorkflowBody as WorkflowBody
    from civitai_skill.purchase.prepare import build_workflow as build_workflow
    from civitai_skill.purchase.result import Generation as Generation
    from civitai_skill.purchase.result import Picture as Picture
    from civitai_skill.remix.remix import Remix as Remix
    from civitai_skill.resources.describe import ModelDescription as ModelDescription
    from civitai_skill.resources.records import Resource as Resource
    from civitai_skill.resources.search import FoundModels as FoundModels
    from civitai_skill.schema.air import Air as Air
    from civitai_skill.schema.finish_request import FinishRequest as FinishRequest
    from civitai_skill.schema.parts import Lora as Lora
    from civitai_skill.schema.request import ImageRequest as ImageRequest
    from civitai_skill.tools.toolbox import Toolbox as Toolbox


class _FrontDoor(ModuleType):
    """This module. A room of a public name's own name (`remix`) does not take its place here."""

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in _HOMES and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _FrontDoor


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
