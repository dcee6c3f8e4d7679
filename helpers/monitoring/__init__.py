"""Watches a model in service: reads what was captured, measures drift, joins late labels, schedules, alarms."""

from helpers.monitoring.capture import csv_features, read_capture
from helpers.monitoring.dashboard import dashboard_body
from helpers.monitoring.distances import (
    drift_report,
    jensen_shannon_distance,
    kolmogorov_smirnov,
    population_stability_index,
    psi_limit,
)
from helpers.monitoring.labels import Joined, join_labels, observed_metric
from helpers.monitoring.watch import alarm_on, schedule_processing

__all__ = [
    "Joined",
    "alarm_on",
    "csv_features",
    "dashboard_body",
    "drift_report",
    "jensen_shannon_distance",
    "join_labels",
    "kolmogorov_smirnov",
    "observed_metric",
    "population_stability_index",
    "psi_limit",
    "read_capture",
    "schedule_processing",
]
