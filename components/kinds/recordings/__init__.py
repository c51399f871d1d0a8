"""Electrocardiograms: reading, places, labels, sources, the transform before training."""
