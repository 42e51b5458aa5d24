"""The skill bundle on disk: install it, take it back.

Never makes a picture.
"""
