"""Every decision between a request and the JSON of one wire form; the families are its data.

No engine is known by name, and nothing is fetched, opened or sent.
"""
