"""The kinds of data that are read: a folder each."""
