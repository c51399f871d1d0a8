"""Keras layers shared by the systems."""
