"""Photographs that ship with scikit-image."""
