"""Feature Store: feature groups, the records of their online stores, and their Parquet files under S3."""
