"""Simulated electrocardiograms."""
