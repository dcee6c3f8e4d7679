"""Hyperparameter tuning jobs: their search, their training jobs, and what ends both."""
