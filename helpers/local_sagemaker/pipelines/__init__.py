"""SageMaker Pipelines: definitions, executions, and the engine that runs their steps."""
