"""One page to look at: scores, curves, captions, the worst cases, where words looked, faults, provenance."""
