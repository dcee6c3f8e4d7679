"""The model registry: package groups, their versions, and model cards."""
