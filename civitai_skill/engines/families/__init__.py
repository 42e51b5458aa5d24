"""One file for each engine family (`FAMILY`), with its wire forms; loaded through the catalog."""
