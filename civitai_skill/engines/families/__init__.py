"""One file for each engine family (`FAMILY`), with its wire forms; loaded through the catalog.

No file here knows another family, and nothing outside knows a fact of one.
"""
