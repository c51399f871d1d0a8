"""Fewer multiplications: networks with a budget of them, and algorithms for matrix products (arXiv:1712.03942)."""
