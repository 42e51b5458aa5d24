"""Civitai and AsyncCivitai, the plain functions, doctor.

Only names and keywords live here; every decision stands in a room below. What an adapter needs of
those rooms it takes from here, so that it depends on this room alone; names load on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

_HOMES = {
    "AsyncCivitai": "client.clients",
    "CURRENCIES": "purchase.body",
    "Civitai": "client.clients",
    "Event": "purchase.events",
    "Generation": "purchase.result",
    "FIELDS": "purchase.body_rules",
    "Health": "api.workflows",
    "KEY": "purchase.body",
    "LONGEST_WAIT": "client.base",
    "MAX_KEY": "purchase.body",
    "MOST_STEPS": "purchase.body_rules",
    "Picture": "purchase.result",
    "Progress": "api.models",
    "Resumed": "purchase.events",
    "STEPS": "purchase.body_rules",
    "SourcePolicy": "images.sources",
    "Submitted": "purchase.events",
    "Submitting": "purchase.events",
    "Tell": "purchase.events",
    "Workflow": "api.models",
    "WorkflowBody": "purchase.order",
    "above_limit_error": "purchase.price",
    "aqueryimagegens": "client.functions",
    "check_body": "purchase.body_rules",
    "describe_engine": "engines.describe",
    "find": "engines.catalog",
    "is_template": "purchase.body_rules",
    "list_engines": "engines.index",
    "set_key": "purchase.body_rules",
    "summarize_unsaved": "purchase.result",
}

if TYPE_CHECKING:
    from civitai_skill.api.models import Progress as Progress
    from civitai_skill.api.models import Workflow as Workflow
    from civitai_skill.api.workflows import Health as Health
    from civitai_skill.client.base import LONGEST_WAIT as LONGEST_WAIT
    from civitai_skill.client.clients import AsyncCivitai as AsyncCivitai
    from civitai_skill.client.clients import Civitai as Civitai
    from civitai_skill.client.functions import aqueryimagegens as aqueryimagegens
    from civitai_skill.engines.catalog import find as find
    from civitai_skill.engines.describe import describe_engine as describe_engine
    from civitai_skill.engines.index import list_engines as list_engines
    from civitai_skill.images.sources import SourcePolicy as SourcePolicy
    from civitai_skill.purchase.body import CURRENCIES as CURRENCIES
    from civitai_skill.purchase.body import KEY as KEY
    from civitai_skill.purchase.body import MAX_KEY as MAX_KEY
    from civitai_skill.purchase.body_rules import FIELDS as FIELDS
    from civitai_skill.purchase.body_rules import MOST_STEPS as MOST_STEPS
    from civitai_skill.purchase.body_rules import STEPS as STEPS
    from civitai_skill.purchase.body_rules import check_body as check_body
    from civitai_skill.purchase.body_rules import is_template as is_template
    from civitai_skill.purchase.body_rules import set_key as set_key
    from civitai_skill.purchase.events import Event as Event
    from civitai_skill.purchase.events import Resumed as Resumed
    from civitai_skill.purchase.events import Submitted as Submitted
    from civitai_skill.purchase.events import Submitting as Submitting
    from civitai_skill.purchase.events import Tell as Tell
    from civitai_skill.purchase.order import WorkflowBody as WorkflowBody
    from civitai_skill.purchase.price import above_limit_error as above_limit_error
    from civitai_skill.purchase.result import Generation as Generation
    from civitai_skill.purchase.result import Picture as Picture
    from civitai_skill.purchase.result import summarize_unsaved as summarize_unsaved


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"civitai_skill.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
