"""One outside interface each: a tool or a command in, somebody else's protocol out."""
