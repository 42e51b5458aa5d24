"""What the sandbox keeps: its tables, balances, and where a workflow stands at a moment.

Nothing here knows HTTP or reads the clock by itself.
"""
