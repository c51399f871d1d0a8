"""Commands that use a pushed network for faces."""
