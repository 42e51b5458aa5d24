"""The site's REST interface, over a small catalogue that is made up: models, versions, hashes.

Nothing here can be bought, and no model of the real site stands in it.
"""
