"""Pushed video codecs as users meet them, and H.264 and H.265 beside them."""
