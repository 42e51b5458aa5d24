"""Finish pictures that are there: on this machine what can be, and the rest by the service.

What this machine does costs nothing and comes first, so that nothing is bought for a call that is
refused.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from urllib.parse import unquote, urlsplit

from civitai_skill.api import blobs
from civitai_skill.api.models import Cost, Workflow
from civitai_skill.api.service import Flow, Service, Work
from civitai_skill.errors import RequestInvalid, WorkflowFailed
from civitai_skill.images.convert import Conversion, convert_picture
from civitai_skill.images.decode import FetchedPicture
from civitai_skill.images.save import prepare_folder, save_picture
from civitai_skill.images.sources import local_path, read_source, scheme_of
from civitai_skill.purchase.buy import buy
from civitai_skill.purchase.events import Priced
from civitai_skill.purchase.generate import begin_clock, finish
from civitai_skill.purchase.local import in_words_of
from civitai_skill.purchase.order import Order
from civitai_skill.purchase.prepare import Prepared, prepare
from civitai_skill.purchase.result import Generation, Picture
from civitai_skill.schema.finish_request import FinishRequest
from civitai_skill.steps.chain import FinishPlan

#: A picture that was finished here, by its place among those that were named.
_Here = dict[int, tuple[str, FetchedPicture]]


def finish_pictures(
    public: Service, paid: Callable[[], Service], order: Order, *, timeout: float
) -> Flow[Generation]:
    """Convert, buy, wait, bring home; a Picture for each one, in the order in which they were
    named. `paid` gives the service that is bought from, or refuses where there is no key: what is
    done on this machine needs none. Errors as those of `generate`."""
    asked, out = order.asked, order.out
    assert isinstance(asked, FinishRequest), "see generate"
    assert out is not None, "pictures that come home need a folder"
    began, order = begin_clock(order, timeout)
    yield Work(partial(prepare_folder, out))
    prepared: Prepared = yield Work(partial(prepare, order))
    decided = prepared.plan
    assert isinstance(decided, FinishPlan), "its asked is one"
    here: _Here = {}
    for i in decided.here if prepared.conversion is not None else ():
        text, field = asked.images[i], "images" if len(asked.images) == 1 else f"images.{i}"
        data = yield Work(partial(read_source, text, field, order.sources))
        if isinstance(data, str):
            data = yield from blobs.fetch_source(public, data, field)
        here[i] = (_stem_of(text), (yield Work(partial(_convert, asked, prepared, data, text))))
    if not decided.steps:
        order.tell(Priced(decided, decided.price, None, order.limit))
        made = Generation(Workflow(None, "succeeded", cost=Cost(0)), plan=decided)
        return (yield from _with_those(made, here, order, out))
    service = paid()
    purchase = yield from buy(service, order, prepared)
    try:
        made = yield from finish(service, order, purchase, timeout=timeout, began=began)
    except WorkflowFailed as error:
        result = yield from _with_those(error.result, here, order, out)
        raise error.replace(result=result) from None
    return (yield from _with_those(made, here, order, out))


def _convert(asked: FinishRequest, prepared: Prepared, data: bytes, name: str) -> FetchedPicture:
    """A picture that takes no step of the service, finished. Raises RequestInvalid."""
    conversion = prepared.conversion
    assert conversion is not None, "something is to be made of it"
    # A width of one's own is enlarged no further than exact pixels are.
    if conversion.exact is None or not asked.free:
        conversion = replace(conversion, enlarge=Conversion().enlarge)
    try:
        return convert_picture(data, conversion, name[:200])
    except RequestInvalid as error:
        raise in_words_of(asked, error) from None


def _stem_of(text: str) -> str:
    """A name for what becomes of a source: its own, where it has one."""
    scheme = scheme_of(text)
    if scheme == "data":
        return "picture"
    path = Path(unquote(urlsplit(text).path)) if scheme in ("https", "http") else local_path(text)
    return path.stem[:100]


def _with_those(made: Generation, here: _Here, order: Order, out: Path) -> Flow[Generation]:
    """What the service made, and what was finished here saved in its place."""
    if not here:
        return made
    saved: dict[int, Picture] = {}
    for i, (stem, fetched) in here.items():
        path = yield Work(partial(save_picture, fetched, out, stem))
        width, height = fetched.size
        saved[i] = Picture(path, None, width, height, None, True, None)
        order.tell(saved[i])
    rest = iter(made.pictures)
    total = len(made.pictures) + len(saved)
    pictures = tuple(saved[i] if i in saved else next(rest) for i in range(total))
    return replace(made, pictures=pictures)
