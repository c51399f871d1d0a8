"""Picture codecs: what they share, one file a system."""
