"""Model Monitor: job definitions, schedules and their executions."""
