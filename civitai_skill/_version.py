"""The version, for whoever must say it without loading anything."""

__version__ = "0.1.0"
