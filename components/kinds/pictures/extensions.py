"""Endings of the files that are taken for pictures, lower case, where nothing heavy needs to be imported."""

EXTENSIONS = (".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".bmp")
