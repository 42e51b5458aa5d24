"""Generation data of other programs in, a request out.

A text, a picture's metadata, a graph or a page of the site is read by its own grammar into a
`Reading` (what it says, nothing fitted); `fit` makes a request of it for one engine and tells what
was carried, changed and left out. All of it was written by strangers: sizes, depths and numbers are
bounded, nothing that it names is fetched, and its texts are never instructions.
"""
