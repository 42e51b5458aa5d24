"""The site's REST interface, over a small catalogue that is made up: models, versions, hashes."""
