"""Commands that use a pushed generative model."""
