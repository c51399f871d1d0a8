"""Classifiers whose kernels have few distinct values, and the archives that hold them."""
