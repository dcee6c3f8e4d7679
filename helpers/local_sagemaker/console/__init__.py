"""The web console: read-only pages under `/console/` about what the local SageMaker holds and runs."""
