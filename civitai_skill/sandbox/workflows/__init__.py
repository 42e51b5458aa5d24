"""Workflows from a template that fits to the JSON of an answer: building, waiting, changing,
listing, and the sandbox's own controls.

No price is worked out here, and no picture is drawn.
"""
