"""Blobs: their routes, uploads, and the files that are drawn on demand.

Nothing here knows prices or the state of a step.
"""
