"""Athena: SQL over the tables of Glue, run by DuckDB on what lies in S3."""
