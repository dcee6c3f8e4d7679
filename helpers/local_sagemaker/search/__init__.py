"""Search: resources of every kind by their properties, tags, metrics and hyperparameters."""
