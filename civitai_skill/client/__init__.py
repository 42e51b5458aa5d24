"""Civitai and AsyncCivitai, the plain functions, doctor.

Only names and keywords live here; every decision stands in a room below. What an adapter needs of
those rooms it takes from here, so that it depends on this room alone; names load on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

#: What an adapter may name, by the module that has it.
_NAMES = {
    "api.models": "Workflow",
    "api.progress": "Progress",
    "api.workflows": "Health",
    "client.clients": "AsyncCivitai Civitai",
    "client.doctor": "examine",
    "client.functions": "aqueryimagegens",
    "client.history": "history_row look_up_ends parse_since shorten",
    "client.methods": "LONGEST_WAIT",
    "engines.cards": "card table",
    "engines.catalog": "find",
    "engines.choose": "choose_engine",
    "engines.describe": "describe_engine",
    "engines.index": "is_text list_engines",
    "engines.planning.plan": "Plan",
    "engines.published.kept": "followed",
    "images.sources": "SourcePolicy",
    "ledger.ledger": "Ledger current_budget",
    "ledger.run": "Run read_prompt",
    "purchase.body": "CURRENCIES KEY MAX_KEY Terms",
    "purchase.body_rules": "FIELDS MOST_STEPS STEPS check_body is_template set_key",
    "purchase.events":
        "Asking Charged Event LeftOpen Priced Quoted Releasing Resumed Submitted Submitting "
        "Tell",
    "purchase.join": "check_account",
    "purchase.local": "for_the_service",
    "purchase.order": "Order WorkflowBody",
    "purchase.prepare": "prepare",
    "purchase.price": "above_limit_error cheaper_way",
    "purchase.result": "Generation Picture summarize_unsaved workflow_failed_error",
    "remix.remix": "Remix",
    "resources.describe": "ModelDescription",
    "resources.records": "Resource",
    "storage.files": "write_atomic write_temporary",
}  # fmt: skip
_HOMES = {name: home for home, names in _NAMES.items() for name in names.split()}

if TYPE_CHECKING:
    from civitai_skill.api.models import Workflow as Workflow
    from civitai_skill.api.progress import Progress as Progress
    from civitai_skill.api.workflows import Health as Health
    from civitai_skill.client.clients import AsyncCivitai as AsyncCivitai
    from civitai_skill.client.clients import Civitai as Civitai
    from civitai_skill.client.doctor import examine as examine
    from civitai_skill.client.functions import aqueryimagegens as aqueryimagegens
    from civitai_skill.client.history import history_row as history_row
    from civitai_skill.client.history import look_up_ends as look_up_ends
    from civitai_skill.client.history import parse_since as parse_since
    from civitai_skill.client.history import shorten as shorten
    from civitai_skill.client.methods import LONGEST_WAIT as LONGEST_WAIT
    from civitai_skill.engines.cards import card as card
    from civitai_skill.engines.cards import table as table
    from civitai_skill.engines.catalog import find as find
    from civitai_skill.engines.choose import choose_engine as choose_engine
    from civitai_skill.engines.describe import describe_engine as describe_engine
    from civitai_skill.engines.index import is_text as is_text
    from civitai_skill.engines.index import list_engines as list_engines
    from civitai_skill.engines.planning.plan import Plan as Plan
    from civitai_skill.engines.published.kept import followed as followed
    from civitai_skill.images.sources import SourcePolicy as SourcePolicy
    from civitai_skill.ledger.ledger import Ledger as Ledger
    from civitai_skill.ledger.ledger import current_budget as current_budget
    from civitai_skill.ledger.run import Run as Run
    from civitai_skill.ledger.run import read_prompt as read_prompt
    from civitai_skill.purchase.body import CURRENCIES as CURRENCIES
    from civitai_skill.purchase.body import KEY as KEY
    from civitai_skill.purchase.body import MAX_KEY as MAX_KEY
    from civitai_skill.purchase.body import Terms as Terms
    from civitai_skill.purchase.body_rules import FIELDS as FIELDS
    from civitai_skill.purchase.body_rules import MOST_STEPS as MOST_STEPS
    from civitai_skill.purchase.body_rules import STEPS as STEPS
    from civitai_skill.purchase.body_rules import check_body as check_body
    from civitai_skill.purchase.body_rules import is_template as is_template
    from civitai_skill.purchase.body_rules import set_key as set_key
    from civitai_skill.purchase.events import Asking as Asking
    from civitai_skill.purchase.events import Charged as Charged
    from civitai_skill.purchase.events import Event as Event
    from civitai_skill.purchase.events import LeftOpen as LeftOpen
    from civitai_skill.purchase.events import Priced as Priced
    from civitai_skill.purchase.events import Quoted as Quoted
    from civitai_skill.purchase.events import Releasing as Releasing
    from civitai_skill.purchase.events import Resumed as Resumed
    from civitai_skill.purchase.events import Submitted as Submitted
    from civitai_skill.purchase.events import Submitting as Submitting
    from civitai_skill.purchase.events import Tell as Tell
    from civitai_skill.purchase.join import check_account as check_account
    from civitai_skill.purchase.local import for_the_service as for_the_service
    from civitai_skill.purchase.order import Order as Order
    from civitai_skill.purchase.order import WorkflowBody as WorkflowBody
    from civitai_skill.purchase.prepare import prepare as prepare
    from civitai_skill.purchase.price import above_limit_error as above_limit_error
    from civitai_skill.purchase.price import cheaper_way as cheaper_way
    from civitai_skill.purchase.result import Generation as Generation
    from civitai_skill.purchase.result import Picture as Picture
    from civitai_skill.purchase.result import summarize_unsaved as summarize_unsaved
    from civitai_skill.purchase.result import workflow_failed_error as workflow_failed_error
    from civitai_skill.remix.remix import Remix as Remix
    from civitai_skill.resources.describe import ModelDescription as ModelDescription
    from civitai_skill.resources.records import Resource as Resource
    from civitai_skill.storage.files import write_atomic as write_atomic
    from civitai_skill.storage.files import write_temporary as write_temporary


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"civitai_skill.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
