"""Data sets of electrocardiograms for TFDS, a folder each, as TFDS wants them."""
