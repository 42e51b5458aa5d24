"""Civitai's HTTP interfaces, as generators that yield requests and sleeps; the drivers run them.

Nothing here decides what may be bought or writes to disk.
"""
