"""Workflows from a template that fits to the JSON of an answer: building, waiting, changing
and listing.

No price is worked out here, and no picture is drawn.
"""
