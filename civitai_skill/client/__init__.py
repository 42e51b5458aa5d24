"""Civitai and AsyncCivitai, the plain functions, doctor.

Only names and keywords live here; every decision stands in a room below.
"""
