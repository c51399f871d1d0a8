"""Entropy models, their integer tables, the coder and the stream."""
