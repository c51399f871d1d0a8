"""Data sets of pictures for TFDS, a folder each, as TFDS wants them."""
