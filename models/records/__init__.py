"""Records as tensors."""
