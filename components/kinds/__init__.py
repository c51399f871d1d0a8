"""Kinds of data, a folder each: reading, cleaning, sources, side features, warm-up inputs; and what all kinds share."""
