"""Scenes with label maps: where maps and masks come from."""
