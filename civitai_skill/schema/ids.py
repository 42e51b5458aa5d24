"""Ids of workflows, as the service gives them and people pass them on."""

from __future__ import annotations

import re

PATTERN = r"[A-Za-z0-9][A-Za-z0-9_-]{0,199}"
_ID = re.compile(PATTERN)


def is_workflow_id(text: str) -> bool:
    """Does the text look like the id of a workflow?"""
    return _ID.fullmatch(text) is not None
