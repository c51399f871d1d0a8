"""Faces: folders of persons, tables of pairs, and a simulated sample."""
