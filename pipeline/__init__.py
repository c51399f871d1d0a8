"""Kompakt's command line, the pipelines that it knows, and what runs them."""

__version__ = "0.1.0"
