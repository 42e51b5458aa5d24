"""Many requests as one purchase: planned first, bounded, resumed by the same call, paid once.

How a single request is priced, sent and brought home stands in `purchase`, never here.
"""
