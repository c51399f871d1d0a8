"""Pairs of matrices."""
