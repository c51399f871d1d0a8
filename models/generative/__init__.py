"""Generative systems: trained against a critic or by what they draw, and judged by distributions."""
