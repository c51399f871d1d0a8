"""The densities that the coder takes its probabilities from."""
