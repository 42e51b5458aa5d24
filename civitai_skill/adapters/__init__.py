"""One outside interface each: a tool or a command in, somebody else's protocol out.

No rule, no default and no message is at home here.
"""
