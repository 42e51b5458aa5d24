"""The bytes of blobs: uploads as they came, all others drawn when they are wanted."""

from __future__ import annotations

from civitai_skill.sandbox import sources
from civitai_skill.sandbox.bench import Bench


def picture(bench: Bench, id: str) -> bytes | None:
    """The bytes of a blob; None when there is no such blob. Drawing holds no lock."""
    with bench.memory.change():
        record, data = bench.memory.blob(id), bench.memory.blob_data(id)
    if data is not None or record is None:
        return data
    return bench.gallery.picture(id, record["recipe"], lambda text: source(bench, text))


def source(bench: Bench, text: str) -> bytes | None:
    """The bytes of a source picture; None for one that lies elsewhere."""
    id = sources.blob_id(text)
    data = sources.data_of(text) if id is None else picture(bench, id)
    return data if data is not None and sources.measure(data) is not None else None
