"""Pictures for tests, as bytes."""

from __future__ import annotations

import io
from typing import Any

from PIL import Image


def picture(kind: str = "PNG", size: tuple[int, int] = (40, 20), **saving: Any) -> bytes:
    """A plain red picture; `kind` and `saving` are Pillow's."""
    out = io.BytesIO()
    Image.new("RGB", size, (200, 30, 30)).save(out, kind, **saving)
    return out.getvalue()
