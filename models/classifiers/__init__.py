"""Picture classifiers: what they share, how they are served, one file a network."""
