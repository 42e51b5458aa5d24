"""One file for each engine family, one catalog, and the plan that turns a request into JSON."""
