"""Weights of training examples: a searched policy (LAW) and the rules it is compared with."""
