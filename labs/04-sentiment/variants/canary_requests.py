"""Answers that the tests of canary_requests must tell apart."""


def _requests(
    service,
    limits,
    *,
    fleet=True,
    errors=None,
    latency=None,
    quality=None,
    percent=None,
    bake=None,
    watched=("errors", "latency", "quality"),
    microseconds=1000,
    missing="notBreaching",
):
    dimensions = {
        "EndpointName": service["endpoint"],
        "VariantName": service["variant"],
    }
    if fleet:
        dimensions["EndpointConfigName"] = service["endpoint_config"]
    common = {
        "Dimensions": [{"Name": k, "Value": v} for k, v in dimensions.items()],
        "TreatMissingData": missing,
        "ComparisonOperator": "GreaterThanThreshold",
        "Period": 300,
        "EvaluationPeriods": 2,
        "DatapointsToAlarm": 2,
    }
    metrics = {
        "errors": {
            "Namespace": "AWS/SageMaker",
            "MetricName": "Invocation5XXErrors",
            "Statistic": "Average",
            "Threshold": limits["error_share"],
            **(errors or {}),
        },
        "latency": {
            "Namespace": "AWS/SageMaker",
            "MetricName": "ModelLatency",
            "ExtendedStatistic": "p99",
            "Threshold": limits["p99_ms"] * microseconds,
            **(latency or {}),
        },
        "quality": {
            "Namespace": "Course/Sentiment",
            "MetricName": "Agreement",
            "Statistic": "Average",
            "Threshold": limits["agreement"],
            "ComparisonOperator": "LessThanThreshold",
            "Period": 600,
            **(quality or {}),
        },
    }
    alarms = [common | {"AlarmName": name} | own for name, own in metrics.items()]
    for alarm in alarms:
        if alarm.get("Statistic") is None:
            alarm.pop("Statistic", None)
        else:
            alarm.pop("ExtendedStatistic", None)
    size = {"Type": "CAPACITY_PERCENT", "Value": percent or service["max_percent"]}
    return {
        "alarms": alarms,
        "update": {
            "EndpointName": service["endpoint"],
            "EndpointConfigName": service["endpoint_config"],
            "DeploymentConfig": {
                "BlueGreenUpdatePolicy": {
                    "TrafficRoutingConfiguration": {
                        "Type": "CANARY",
                        "CanarySize": size,
                        "WaitIntervalInSeconds": bake or 3600,
                    }
                },
                "AutoRollbackConfiguration": {
                    "Alarms": [{"AlarmName": name} for name in watched]
                },
            },
        },
    }


def right_long_periods(service, limits):
    # two periods of five and of ten minutes, an hour's bake
    return _requests(service, limits)


def right_counts_of_errors(service, limits):
    # a count of failures instead of their share, missing data as they are
    per_period = service["requests_per_minute"] * service["max_percent"] / 100 * 5
    return _requests(
        service,
        limits,
        errors={
            "Statistic": "Sum",
            "Threshold": per_period * limits["error_share"] * 1.5,
        },
        missing="missing",
    )


def wrong_average_of_one(service, limits):
    # Average >= 1 is a failure of every request, not one per cent
    errors = {"Threshold": 1, "ComparisonOperator": "GreaterThanOrEqualToThreshold"}
    return _requests(service, limits, errors=errors)


def wrong_threshold_in_percent(service, limits):
    # the metric is a share of 1
    return _requests(service, limits, errors={"Threshold": 100 * limits["error_share"]})


def wrong_latency_in_milliseconds(service, limits):
    # ModelLatency is in microseconds: every release is too slow
    return _requests(service, limits, microseconds=1)


def wrong_mean_latency(service, limits):
    # the mean does not see a slow twentieth
    return _requests(service, limits, latency={"Statistic": "Average"})


def wrong_both_fleets(service, limits):
    # nine healthy requests hide each one of the canary's
    return _requests(service, limits, fleet=False)


def wrong_single_minute(service, limits):
    # one bad minute of few requests rolls back
    once = {"Period": 60, "EvaluationPeriods": 1, "DatapointsToAlarm": 1}
    return _requests(service, limits, errors=once, latency=once, quality=once)


def wrong_missing_is_breaching(service, limits):
    # no labels yet: the release is rolled back for it
    return _requests(service, limits, missing="breaching")


def wrong_bakes_before_labels(service, limits):
    # all over before the first label comes
    return _requests(service, limits, bake=600)


def wrong_watches_errors_only(service, limits):
    # the other two alarms are made, and nobody listens
    return _requests(service, limits, watched=("errors",))


def wrong_agreement_from_above(service, limits):
    # alarmed by agreement
    quality = {"ComparisonOperator": "GreaterThanThreshold"}
    return _requests(service, limits, quality=quality)


def wrong_half_the_traffic(service, limits):
    # a canary that half of the customers meet
    return _requests(service, limits, percent=50)


def wrong_namespace(service, limits):
    # nobody reports this metric, and no data is no alarm
    return _requests(service, limits, quality={"Namespace": "AWS/SageMaker"})


def wrong_bakes_for_two_hours(service, limits):
    # WaitIntervalInSeconds is at most 3,600
    return _requests(service, limits, bake=7200)
