"""Takes submissions in, repairs them, executes them and stores their grades."""
