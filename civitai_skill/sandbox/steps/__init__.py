"""What a template and its steps mean: do they fit the document, what do they cost, how large are
their pictures, which sources and references do they name?

Nothing here is stored or answered, and the clock plays no part.
"""
