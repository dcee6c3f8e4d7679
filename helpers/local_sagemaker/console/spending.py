"""What this would cost on AWS: what runs now, by the hour and the month, and what jobs have cost so far."""

from __future__ import annotations

import time

from helpers.local_sagemaker.console import addresses, endpoints, prices
from helpers.local_sagemaker.console.jobs import JOB_KINDS, UNFINISHED, resources
from helpers.local_sagemaker.console.visits import Visit, page

_SHOWN_JOBS = 50


@page("/cost", "cost.html")
def cost(visit: Visit) -> dict:
    """Endpoints and jobs with their prices."""
    serving = _endpoints(visit)
    jobs = _jobs(visit)
    unpriced = sorted(
        {row["instance_type"] for row in [*serving, *jobs] if row["rate"] is None and row["instance_type"]}
    )
    running = [row for row in jobs if row["is_running"]]
    rates = [row["rate"] for row in [*serving, *running] if row["rate"] is not None]
    ran = [row["usd"] for row in jobs if row["usd"] is not None]
    jobs.sort(key=lambda row: (row["is_running"], row["begin"]), reverse=True)
    return {
        "section": "cost",
        "hourly": sum(rates),
        "monthly": sum(rates) * prices.HOURS_A_MONTH,
        "endpoints_so_far": sum(row["usd"] or 0 for row in serving),
        "jobs_so_far": sum(ran),
        "job_count": len(jobs),
        "endpoints": serving,
        "jobs": jobs[:_SHOWN_JOBS],
        "unpriced": unpriced,
        "hours": prices.HOURS_A_MONTH,
    }


def _endpoints(visit: Visit) -> list[dict]:
    """A row for each variant of an endpoint that is up."""
    rows = []
    for name in [each["EndpointName"] for each in visit.server.store.list("Endpoint")]:
        found = visit.read("DescribeEndpoint", EndpointName=name)
        config = visit.server.store.get("EndpointConfig", found["EndpointConfigName"]) or {}
        specs = {spec["VariantName"]: spec for kind in endpoints.VARIANT_KINDS for spec in config.get(kind, [])}
        hours = (time.time() - found["CreationTime"]) / 3600
        for variant in [each for kind in endpoints.VARIANT_KINDS for each in found.get(kind, [])]:
            spec, count = specs.get(variant["VariantName"], {}), variant.get("CurrentInstanceCount", 0)
            instance_type = spec.get("InstanceType")
            rate = prices.hourly(instance_type, count) if instance_type else None
            rows.append(
                {
                    "name": name,
                    "address": addresses.to("endpoints", name),
                    "variant": variant["VariantName"],
                    "instance_type": instance_type,
                    "instance_count": count,
                    "rate": rate,
                    "monthly": None if rate is None else rate * prices.HOURS_A_MONTH,
                    "hours": hours,
                    "usd": None if rate is None else rate * hours,
                }
            )
    return rows


def _jobs(visit: Visit) -> list[dict]:
    """A row for each job that has begun to run."""
    rows = []
    for kind in JOB_KINDS.values():
        for record in visit.server.store.list(kind.record):
            cluster, begin = resources(kind, record), record.get(kind.begin)
            if not cluster or not begin:
                continue
            is_running = record[kind.status_member] in UNFINISHED
            end = time.time() if is_running else record.get(kind.end, begin)
            rows.append(
                {
                    "kind": kind.name,
                    "name": record[kind.name_member],
                    "address": addresses.to("jobs", kind.name, record[kind.name_member]),
                    "instance_type": cluster["InstanceType"],
                    "instance_count": cluster["InstanceCount"],
                    "is_running": is_running,
                    "begin": begin,
                    "seconds": record.get("BillableTimeInSeconds", end - begin),
                    "rate": prices.hourly(cluster["InstanceType"], cluster["InstanceCount"]),
                    "usd": prices.of_job(record, cluster, begin, end),
                }
            )
    return rows
