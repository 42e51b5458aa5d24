"""The image engines: what each takes, costs and is good for, and how a request becomes its JSON.

No engine's fact stands outside its file in `families/`; nothing here sends anything.
"""
