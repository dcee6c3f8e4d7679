"""The `course` command: makes, runs, grades and publishes the labs."""
