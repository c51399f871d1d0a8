"""The entropy coder and its container."""
