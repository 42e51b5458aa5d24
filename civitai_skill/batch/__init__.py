"""Many requests at once: planned first, bounded, resumed by the same command, paid once."""
