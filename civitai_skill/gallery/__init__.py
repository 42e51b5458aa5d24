"""Sheets of pictures. Nothing here knows a price, a server or a tool."""

from __future__ import annotations
