"""Sections on codecs of clips."""
