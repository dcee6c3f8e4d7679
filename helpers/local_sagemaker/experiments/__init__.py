"""Experiments: trials and their components, by hand, by the SDK's Run, and of jobs; metrics of runs."""
