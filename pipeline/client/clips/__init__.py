"""Clips in, coded clips out, and back."""
