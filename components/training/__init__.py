"""The steps that train: trainer, tuner, teacher, ensemble."""
