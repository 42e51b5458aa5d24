"""The service's published document and catalogue: read, compared with our files, kept and used.

What is here is what a newer document knows and no family's file does: whole forms (`derive.py`),
and fields and values of forms that we have (`grow.py`). `kept.py` says which document is in force.
"""
