"""Answers that the tests of decide must tell apart."""


def _of_one_source(drifted, sources, share=0.5):
    origins = {sources[name] for name in drifted}
    if len(origins) != 1:
        return False
    (origin,) = origins
    size = sum(source == origin for source in sources.values())
    return len(drifted) >= share * size


def _lost(quality, baseline, tolerance, end=1):
    return quality is not None and quality[end] < baseline - tolerance


def right_by_rules(
    reports, expected_reports, drifted, sources, quality, baseline, tolerance
):
    # a list of rules, the first that holds
    one = _of_one_source(drifted, sources)
    rules = [
        (reports / expected_reports < 0.5, "mend the monitor"),
        (one, "mend the data"),
        (_lost(quality, baseline, tolerance), "retrain"),
        (bool(drifted) or quality is None, "watch"),
    ]
    return next((answer for holds, answer in rules if holds), "nothing")


def wrong_retrains_on_drift(
    reports, expected_reports, drifted, sources, quality, baseline, tolerance
):
    # drift is taken for damage
    if drifted and not _of_one_source(drifted, sources):
        return "retrain"
    return right_by_rules(
        reports, expected_reports, drifted, sources, quality, baseline, tolerance
    )


def wrong_retrains_on_broken_data(
    reports, expected_reports, drifted, sources, quality, baseline, tolerance
):
    # a loss of quality comes before its cause
    if 2 * reports >= expected_reports and _lost(quality, baseline, tolerance):
        [sources[name] for name in drifted]
        return "retrain"
    return right_by_rules(
        reports, expected_reports, drifted, sources, quality, baseline, tolerance
    )


def wrong_point_estimate(
    reports, expected_reports, drifted, sources, quality, baseline, tolerance
):
    # the middle of the interval decides
    middle = quality and (sum(quality) / 2,) * 2
    return right_by_rules(
        reports, expected_reports, drifted, sources, middle, baseline, tolerance
    )


def wrong_silence_is_health(
    reports, expected_reports, drifted, sources, quality, baseline, tolerance
):
    # a monitor without reports has found nothing
    return right_by_rules(1, 1, drifted, sources, quality, baseline, tolerance)


def wrong_unknown_is_fine(
    reports, expected_reports, drifted, sources, quality, baseline, tolerance
):
    # no labels are taken for good ones
    return right_by_rules(
        reports,
        expected_reports,
        drifted,
        sources,
        quality or (baseline, baseline),
        baseline,
        tolerance,
    )


def wrong_one_feature_is_enough(
    reports, expected_reports, drifted, sources, quality, baseline, tolerance
):
    # any drift within one source is its break
    if (
        len({sources[name] for name in drifted}) == 1
        and 2 * reports >= expected_reports
    ):
        return "mend the data"
    return right_by_rules(
        reports, expected_reports, drifted, sources, quality, baseline, tolerance
    )
