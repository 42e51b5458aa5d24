"""Files that are whole or not there, lock files, SQLite.

Knows no picture and no Buzz.
"""
