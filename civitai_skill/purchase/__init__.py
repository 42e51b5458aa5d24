"""Prepare, price, write down, submit once, wait, bring home, resume, release.

Every way to spend Buzz leads through here; no outside interface is known.
"""
