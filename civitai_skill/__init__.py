"""Pictures from Civitai's orchestration service, for people and their agents.

Names load on first use, so that importing the package costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOMES = {
    "Air": "air",
    "ApiError": "errors",
    "AsyncCivitai": "client",
    "BadRequest": "errors",
    "Canceled": "flows",
    "Choice": "choose",
    "Civitai": "client",
    "CivitaiError": "errors",
    "ConfigError": "errors",
    "Forbidden": "errors",
    "Generation": "delivery",
    "ImageRequest": "request",
    "Lora": "request",
    "NotEnoughBuzz": "errors",
    "NotFound": "errors",
    "OverBudget": "errors",
    "Page": "flows",
    "Picture": "delivery",
    "Price": "engines.plan",
    "Problem": "errors",
    "Progress": "workflow",
    "Quote": "flows",
    "RateLimited": "errors",
    "RequestInvalid": "errors",
    "Retry": "exchange",
    "ServerError": "errors",
    "Settings": "config",
    "StillRunning": "errors",
    "Toolbox": "tools.toolbox",
    "TransportFailed": "errors",
    "Unauthorized": "errors",
    "Workflow": "workflow",
    "WorkflowFailed": "errors",
    "acancel_image": "calls",
    "achoose_engine": "calls",
    "aestimate_image": "calls",
    "agenerate_image": "calls",
    "aget_image": "calls",
    "aquery_images": "calls",
    "aqueryimagegens": "calls",
    "asubmit_image": "calls",
    "asubmitimagegen": "calls",
    "build_workflow": "template",
    "cancel_image": "calls",
    "choose_engine": "choose",
    "describe_engine": "engines.describe",
    "estimate_image": "calls",
    "estimate_offline": "engines.describe",
    "explain": "explanation",
    "generate_image": "calls",
    "get_image": "calls",
    "list_engines": "engines.describe",
    "arun_batch": "batch.run",
    "arun_sweep": "batch.run",
    "run_batch": "batch.run",
    "run_sweep": "batch.run",
    "query_images": "calls",
    "queryimagegens": "calls",
    "submit_image": "calls",
    "submitimagegen": "calls",
}

__all__ = ["__version__", *sorted(_HOMES)]

if TYPE_CHECKING:
    from civitai_skill.air import Air as Air
    from civitai_skill.batch.run import arun_batch as arun_batch
    from civitai_skill.batch.run import arun_sweep as arun_sweep
    from civitai_skill.batch.run import run_batch as run_batch
    from civitai_skill.batch.run import run_sweep as run_sweep
    from civitai_skill.calls import acancel_image as acancel_image
    from civitai_skill.calls import achoose_engine as achoose_engine
    from civitai_skill.calls import aestimate_image as aestimate_image
    from civitai_skill.calls import agenerate_image as agenerate_image
    from civitai_skill.calls import aget_image as aget_image
    from civitai_skill.calls import aquery_images as aquery_images
    from civitai_skill.calls import aqueryimagegens as aqueryimagegens
    from civitai_skill.calls import asubmit_image as asubmit_image
    from civitai_skill.calls import asubmitimagegen as asubmitimagegen
    from civitai_skill.calls import cancel_image as cancel_image
    from civitai_skill.calls import estimate_image as estimate_image
    from civitai_skill.calls import generate_image as generate_image
    from civitai_skill.calls import get_image as get_image
    from civitai_skill.calls import query_images as query_images
    from civitai_skill.calls import queryimagegens as queryimagegens
    from civitai_skill.calls import submit_image as submit_image
    from civitai_skill.calls import submitimagegen as submitimagegen
    from civitai_skill.choose import Choice as Choice
    from civitai_skill.choose import choose_engine as choose_engine
    from civitai_skill.client import AsyncCivitai as AsyncCivitai
    from civitai_skill.client import Civitai as Civitai
    from civitai_skill.config import Settings as Settings
    from civitai_skill.delivery import Generation as Generation
    from civitai_skill.delivery import Picture as Picture
    from civitai_skill.engines.describe import describe_engine as describe_engine
    from civitai_skill.engines.describe import estimate_offline as estimate_offline
    from civitai_skill.engines.describe import list_engines as list_engines
    from civitai_skill.engines.plan import Price as Price
    from civitai_skill.errors import ApiError as ApiError
    from civitai_skill.errors import BadRequest as BadRequest
    from civitai_skill.errors import CivitaiError as CivitaiError
    from civitai_skill.errors import ConfigError as ConfigError
    from civitai_skill.errors import Forbidden as Forbidden
    from civitai_skill.errors import NotEnoughBuzz as NotEnoughBuzz
    from civitai_skill.errors import NotFound as NotFound
    from civitai_skill.errors import OverBudget as OverBudget
    from civitai_skill.errors import Problem as Problem
    from civitai_skill.errors import RateLimited as RateLimited
    from civitai_skill.errors import RequestInvalid as RequestInvalid
    from civitai_skill.errors import ServerError as ServerError
    from civitai_skill.errors import StillRunning as StillRunning
    from civitai_skill.errors import TransportFailed as TransportFailed
    from civitai_skill.errors import Unauthorized as Unauthorized
    from civitai_skill.errors import WorkflowFailed as WorkflowFailed
    from civitai_skill.exchange import Retry as Retry
    from civitai_skill.explanation import explain as explain
    from civitai_skill.flows import Canceled as Canceled
    from civitai_skill.flows import Page as Page
    from civitai_skill.flows import Quote as Quote
    from civitai_skill.request import ImageRequest as ImageRequest
    from civitai_skill.request import Lora as Lora
    from civitai_skill.template import build_workflow as build_workflow
    from civitai_skill.tools.toolbox import Toolbox as Toolbox
    from civitai_skill.workflow import Progress as Progress
    from civitai_skill.workflow import Workflow as Workflow


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
