"""The shapes of networks for faces."""
