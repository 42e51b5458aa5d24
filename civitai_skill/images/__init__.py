"""Bytes of pictures on this machine: decode, sources, save, sidecar.

Nothing here speaks to the network or knows what a picture cost.
"""
