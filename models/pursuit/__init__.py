"""Matching pursuit over a cone (arXiv:1705.11041), and a dictionary of pictures that is coded by it."""
