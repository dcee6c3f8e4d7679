"""Answers that the tests of bake_plan must tell apart."""

import math

from scipy import stats


def _plan(
    requests_per_minute,
    percent,
    healthy,
    faulty,
    detection,
    false_alarm,
    *,
    most=60,
    threshold=None,
    tail=lambda k, n, p: stats.binom.sf(k - 1, n, p),
    last=False,
):
    for minutes in range(1, most + 1):
        n = requests_per_minute * percent * minutes // 100
        k = threshold or next(
            (k for k in range(1, n + 1) if tail(k, n, healthy) <= false_alarm), None
        )
        if k and last:
            fitting = [j for j in range(k, n + 1) if tail(j, n, faulty) >= detection]
            if fitting:
                return {"minutes": minutes, "threshold": fitting[-1]}
        elif k and tail(k, n, faulty) >= detection:
            return {"minutes": minutes, "threshold": k}
    raise ValueError("an hour is not enough")


def right_by_incomplete_beta(
    requests_per_minute, percent, healthy, faulty, detection=0.95, false_alarm=0.01
):
    # the tail of the binomial distribution as a beta distribution's
    def tail(k, n, p):
        return stats.beta.cdf(p, k, n - k + 1) if p > 0 else 0.0

    arguments = requests_per_minute, percent, healthy, faulty, detection, false_alarm
    return _plan(*arguments, tail=tail)


def wrong_waits_for_one_failure(
    requests_per_minute, percent, healthy, faulty, detection=0.95, false_alarm=0.01
):
    # one failure rolls a healthy release back
    arguments = requests_per_minute, percent, healthy, faulty, detection, false_alarm
    return _plan(*arguments, threshold=1)


def wrong_all_traffic(
    requests_per_minute, percent, healthy, faulty, detection=0.95, false_alarm=0.01
):
    # the canary answers a tenth of the requests only
    arguments = requests_per_minute, 100, healthy, faulty, detection, false_alarm
    return _plan(*arguments)


def wrong_expects_one_failure(
    requests_per_minute, percent, healthy, faulty, detection=0.95, false_alarm=0.01
):
    # one failure in the mean: in 37 % of the bakes there is none
    minutes = math.ceil(100 / (requests_per_minute * percent * faulty))
    return {"minutes": minutes, "threshold": 1}


def wrong_more_than_threshold(
    requests_per_minute, percent, healthy, faulty, detection=0.95, false_alarm=0.01
):
    # P(X > k) for P(X >= k)
    arguments = requests_per_minute, percent, healthy, faulty, detection, false_alarm
    return _plan(*arguments, tail=lambda k, n, p: stats.binom.sf(k, n, p))


def wrong_normal_approximation(
    requests_per_minute, percent, healthy, faulty, detection=0.95, false_alarm=0.01
):
    # a bell curve for counts of two or three
    def tail(k, n, p):
        spread = math.sqrt(n * p * (1 - p))
        return stats.norm.sf((k - n * p) / spread) if spread else 0.0

    arguments = requests_per_minute, percent, healthy, faulty, detection, false_alarm
    return _plan(*arguments, tail=tail)


def wrong_bakes_for_days(
    requests_per_minute, percent, healthy, faulty, detection=0.95, false_alarm=0.01
):
    # WaitIntervalInSeconds ends at an hour
    arguments = requests_per_minute, percent, healthy, faulty, detection, false_alarm
    return _plan(*arguments, most=3000)


def wrong_largest_threshold(
    requests_per_minute, percent, healthy, faulty, detection=0.95, false_alarm=0.01
):
    # any threshold that still finds the fault, not the smallest
    arguments = requests_per_minute, percent, healthy, faulty, detection, false_alarm
    return _plan(*arguments, last=True)
