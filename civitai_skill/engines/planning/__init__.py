"""Every decision between a request and the JSON of one wire form; the families are its data."""
