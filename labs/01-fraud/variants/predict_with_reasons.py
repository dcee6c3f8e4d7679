"""Answers that the tests of predict_with_reasons must tell apart."""

import numpy as np
import pandas as pd
import shap
import xgboost as xgb


def _answers(names, probability, margin, base, values, top, rank=None):
    out = []
    for i in range(len(margin)):
        contributions = {
            name: float(value) for name, value in zip(names, values[i], strict=True)
        }
        order = sorted(names, key=lambda name: -contributions[name])
        reasons = (
            [name for name in order if contributions[name] > 0][:top]
            if rank is None
            else rank(contributions)[:top]
        )
        out.append(
            {
                "probability": float(probability[i]),
                "margin": float(margin[i]),
                "base": float(base[i]),
                "contributions": contributions,
                "reasons": reasons,
            }
        )
    return out


def _parts(rows, booster, **options):
    matrix = xgb.DMatrix(rows[booster.feature_names])
    values = booster.predict(matrix, pred_contribs=True, **options)
    margin = booster.predict(matrix, output_margin=True)
    return (
        booster.feature_names,
        booster.predict(matrix),
        margin,
        values[:, -1],
        values[:, :-1],
    )


def right_by_frame(rows, booster, top=3):
    # margins are the sum of the values themselves
    names, probability, _, base, values = _parts(rows, booster)
    return _answers(names, probability, base + values.sum(axis=1), base, values, top)


def right_by_shap_package(rows, booster, top=3):
    # the shap package computes the same values
    names, probability, margin, _, _ = _parts(rows, booster)
    explainer = shap.TreeExplainer(booster)
    explained = explainer.shap_values(rows[names])
    base = np.full(len(rows), float(np.ravel(explainer.expected_value)[0]))
    return _answers(names, probability, margin, base, explained, top)


def wrong_saabas(rows, booster, top=3):
    # approx_contribs adds up too, and is not SHAP
    return _answers(*_parts(rows, booster, approx_contribs=True), top)


def wrong_by_position(rows, booster, top=3):
    # names are thrown away: columns in another order are scored as if they were in the
    # model's
    plain = xgb.DMatrix(rows.to_numpy(), feature_names=booster.feature_names)
    values = booster.predict(plain, pred_contribs=True)
    margin = booster.predict(plain, output_margin=True)
    return _answers(
        booster.feature_names,
        booster.predict(plain),
        margin,
        values[:, -1],
        values[:, :-1],
        top,
    )


def wrong_reasons_by_absolute_value(rows, booster, top=3):
    # what lowers the risk is named as a reason for the alert
    def rank(contributions):
        return sorted(contributions, key=lambda name: -abs(contributions[name]))

    return _answers(*_parts(rows, booster), top, rank)


def wrong_bias_is_a_feature(rows, booster, top=3):
    # the last column of pred_contribs is taken for a feature's
    names, probability, margin, base, values = _parts(rows, booster)
    with_bias = np.column_stack([values, base])
    return _answers(
        [*names, "bias"], probability, margin, np.zeros(len(margin)), with_bias, top
    )


def wrong_margin_is_the_probability(rows, booster, top=3):
    # values in log-odds beside a total in probability
    names, probability, _, base, values = _parts(rows, booster)
    return _answers(names, probability, probability, base, values, top)


def wrong_scaled_to_the_probability(rows, booster, top=3):
    # contributions are rescaled until they add up to the probability
    names, probability, _, base, values = _parts(rows, booster)
    share = (probability - 0.5) / (base + values.sum(axis=1))
    return _answers(
        names,
        probability,
        probability,
        np.full(len(rows), 0.5),
        values * share[:, None],
        top,
    )


def wrong_numpy_types(rows, booster, top=3):
    # np.float32 is not JSON: the endpoint fails at its first answer
    return [
        {**answer, "margin": np.float32(answer["margin"])}
        for answer in right_by_frame(rows, booster, top)
    ]


def wrong_always_three_reasons(rows, booster, top=3):
    # top is ignored
    return right_by_frame(rows, booster, 3)


def wrong_reasons_no_json(rows, booster, top=3):
    # an index of names looks like a list and is not written as one
    answers = right_by_frame(rows, booster, top)
    return [{**answer, "reasons": pd.Index(answer["reasons"])} for answer in answers]
