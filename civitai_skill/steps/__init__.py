"""What comes before or after an engine: one file a step of the service, the same idea as engines.

A step's file holds its wire form, its limits, its documented price, its guidance, and where in its
output stands what it gives. How steps become a workflow is decided in `chain.py`.
"""
