"""Labelled pictures packed into one NumPy file."""
