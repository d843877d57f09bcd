"""`make demo`: the whole pipeline, once, with real input."""
