"""What things here would cost on AWS: list price times instances times time."""

from __future__ import annotations

from helpers.prices import INSTANCE_PRICES

HOURS_A_MONTH = 730  # as AWS's pricing calculator counts


def hourly(instance_type: str, count: int = 1) -> float | None:
    """USD an hour for instances of a type; None where the course has no list price for it."""
    price = INSTANCE_PRICES.get(instance_type)
    return None if price is None else price * count


def of_job(record: dict, cluster: dict, begin: float, end: float) -> float | None:
    """USD for the instances of a job while it ran, by its billable seconds where it has them."""
    rate = hourly(cluster["InstanceType"], cluster["InstanceCount"])
    seconds = record.get("BillableTimeInSeconds", end - begin)
    return None if rate is None else rate * seconds / 3600
