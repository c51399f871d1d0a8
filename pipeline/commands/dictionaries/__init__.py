"""Commands that use a pushed dictionary."""
