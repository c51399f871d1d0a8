"""How trained models become SavedModels, and where pushed and released ones are."""
