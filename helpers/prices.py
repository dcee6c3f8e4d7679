"""AWS's list prices of the instance types that the course uses."""

from __future__ import annotations

INSTANCE_PRICES = {
    "ml.t2.medium": 0.056,
    "ml.t3.medium": 0.05,
    "ml.m5.large": 0.115,
    "ml.m5.xlarge": 0.23,
    "ml.m5.2xlarge": 0.461,
    "ml.m5.4xlarge": 0.922,
    "ml.c5.large": 0.102,
    "ml.c5.xlarge": 0.204,
    "ml.c5.2xlarge": 0.408,
    "ml.g4dn.xlarge": 0.7364,
    "ml.g5.xlarge": 1.408,
}
"""On-demand list price in us-east-1, USD per instance hour. Source: https://aws.amazon.com/sagemaker/ai/pricing/."""

SERVERLESS_PRICES = {1: 0.00002, 2: 0.00004, 3: 0.00006, 4: 0.00008, 5: 0.0001, 6: 0.00012}
"""Serverless inference in us-east-1, USD per second of work by GB of memory. Source: the same page."""

DATA_PROCESSED_PRICE = 0.016
"""USD per GB that goes into or out of a serverless or real-time endpoint in us-east-1. Source: the same page."""
