"""Answers that the tests of macro_f1 must tell apart."""

import numpy as np
import pandas as pd
from sklearn.metrics import f1_score


def _lists(label, answer):
    label, answer = list(label), list(answer)
    if not label or len(label) != len(answer):
        raise ValueError("no tickets, or lengths that differ")
    return label, answer


def _scores(label, answer, classes):
    answer = ["(none)" if one is None else one for one in answer]
    f1 = f1_score(label, answer, labels=classes, average=None, zero_division=0)
    return float(np.mean(f1)), pd.Series(f1, index=classes)


def right_by_crosstab(label, answer):
    # counts from a table of label against answer
    label, answer = _lists(label, answer)
    classes = sorted({*label, *(one for one in answer if one is not None)})
    table = pd.crosstab(
        pd.Series(label), pd.Series(answer, dtype=object).fillna("\0none")
    )
    table = table.reindex(index=classes, columns=[*classes, "\0none"], fill_value=0)
    hits = np.diag(table[classes])
    f1 = 2 * hits / (table.sum(axis=1) + table[classes].sum(axis=0)).to_numpy()
    return float(f1.mean()), pd.Series(f1, index=classes)


def wrong_drops_abstentions(label, answer):
    # measured on the answered tickets alone
    label, answer = _lists(label, answer)
    kept = [(y, a) for y, a in zip(label, answer, strict=True) if a is not None]
    if not kept:
        return 0.0, pd.Series(0.0, index=sorted(set(label)))
    label, answer = (list(part) for part in zip(*kept, strict=True))
    return _scores(label, answer, sorted({*label, *answer}))


def wrong_true_classes_only(label, answer):
    # a class that is predicted and never true costs nothing
    label, answer = _lists(label, answer)
    return _scores(label, answer, sorted(set(label)))


def wrong_predicted_classes_only(label, answer):
    # a class that is never predicted costs nothing
    label, answer = _lists(label, answer)
    classes = sorted({one for one in answer if one is not None})
    if not classes:
        return 0.0, pd.Series(dtype=float)
    return _scores(label, answer, classes)


def wrong_none_is_a_class(label, answer):
    # the abstention gets an F1 of 0 of its own
    label, answer = _lists(label, answer)
    answer = ["(none)" if one is None else one for one in answer]
    return _scores(label, answer, sorted({*label, *answer}))


def wrong_weighted_mean(label, answer):
    # the frequent classes decide
    label, answer = _lists(label, answer)
    _, f1 = right_by_crosstab(label, answer)
    share = (
        pd.Series(label).value_counts(normalize=True).reindex(f1.index, fill_value=0)
    )
    return float((f1 * share).sum()), f1


def wrong_f1_of_the_means(label, answer):
    # the harmonic mean of macro-precision and macro-recall is another number
    label, answer = _lists(label, answer)
    _, f1 = right_by_crosstab(label, answer)
    hits = {
        c: sum(y == a == c for y, a in zip(label, answer, strict=True))
        for c in f1.index
    }
    recall = np.mean([hits[c] / max(1, label.count(c)) for c in f1.index])
    precision = np.mean([hits[c] / max(1, answer.count(c)) for c in f1.index])
    return float(2 * recall * precision / max(recall + precision, 1e-12)), f1
