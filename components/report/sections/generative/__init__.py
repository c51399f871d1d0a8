"""Sections of generative codecs."""
