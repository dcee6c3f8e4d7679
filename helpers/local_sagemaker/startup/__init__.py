"""On PYTHONPATH of the programs that `environment()` points at the server."""
