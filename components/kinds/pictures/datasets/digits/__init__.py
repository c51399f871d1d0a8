"""Handwritten digits that ship with scikit-learn."""
