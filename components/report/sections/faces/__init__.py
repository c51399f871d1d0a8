"""The sections of networks for faces."""
