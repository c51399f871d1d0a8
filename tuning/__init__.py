"""How hyperparameters are searched."""
