"""Answers that the tests of choose_max_seq_len must tell apart."""

import math

import numpy as np
import pandas as pd


def _cost(m, hidden_size, n_layers):
    return n_layers * (24 * m * hidden_size**2 + 4 * hidden_size * m**2)


def _search(n_tokens, label, budget, max_truncated, limit, cost, cut):
    """The rule, with the cost and the truncation of a length as they are given."""
    if len(n_tokens) == 0:
        raise ValueError("there are no texts")
    n, classes = np.asarray(n_tokens), np.asarray(label)
    within = [length for length in range(8, limit + 1, 8) if cost(n, length) <= budget]
    if not within:
        raise ValueError("over the budget")
    shares = [cut(n, classes, length) for length in within]
    for length, share in zip(within, shares, strict=True):
        if share.max() <= max_truncated:
            return length, share
    return within[-1], shares[-1]


def _by_class(n, classes, length):
    return pd.Series({c: (n[classes == c] > length).mean() for c in np.unique(classes)})


def _padded(hidden_size, n_layers):
    return lambda n, length: _cost(
        -(-np.minimum(n, length) // 8) * 8, hidden_size, n_layers
    ).mean()


def right_by_listing(
    n_tokens,
    label,
    flops_budget,
    max_truncated=0.01,
    hidden_size=384,
    n_layers=6,
    limit=512,
):
    # all lengths within the budget first, then the rule
    cost = _padded(hidden_size, n_layers)
    return _search(n_tokens, label, flops_budget, max_truncated, limit, cost, _by_class)


def wrong_truncates_on_average(
    n_tokens,
    label,
    flops_budget,
    max_truncated=0.01,
    hidden_size=384,
    n_layers=6,
    limit=512,
):
    # one share over all texts: a rare class may be cut altogether
    def overall(n, classes, length):
        return pd.Series((n > length).mean(), index=np.unique(classes))

    cost = _padded(hidden_size, n_layers)
    length, _ = _search(
        n_tokens, label, flops_budget, max_truncated, limit, cost, overall
    )
    return length, _by_class(np.asarray(n_tokens), np.asarray(label), length)


def wrong_pads_to_the_limit(
    n_tokens,
    label,
    flops_budget,
    max_truncated=0.01,
    hidden_size=384,
    n_layers=6,
    limit=512,
):
    # every text costs what the longest allowed one does
    def cost(n, length):
        return _cost(length, hidden_size, n_layers)

    return _search(n_tokens, label, flops_budget, max_truncated, limit, cost, _by_class)


def wrong_forgets_padding(
    n_tokens,
    label,
    flops_budget,
    max_truncated=0.01,
    hidden_size=384,
    n_layers=6,
    limit=512,
):
    # tokens are counted without the padding to 8
    def cost(n, length):
        return _cost(np.minimum(n, length), hidden_size, n_layers).mean()

    return _search(n_tokens, label, flops_budget, max_truncated, limit, cost, _by_class)


def wrong_linear_cost(
    n_tokens,
    label,
    flops_budget,
    max_truncated=0.01,
    hidden_size=384,
    n_layers=6,
    limit=512,
):
    # attention is left out
    def cost(n, length):
        m = -(-np.minimum(n, length) // 8) * 8
        return (n_layers * 24 * m * hidden_size**2).mean()

    return _search(n_tokens, label, flops_budget, max_truncated, limit, cost, _by_class)


def wrong_cuts_at_equality(
    n_tokens,
    label,
    flops_budget,
    max_truncated=0.01,
    hidden_size=384,
    n_layers=6,
    limit=512,
):
    # a text of exactly L tokens counts as cut
    def cut(n, classes, length):
        return pd.Series(
            {c: (n[classes == c] >= length).mean() for c in np.unique(classes)}
        )

    cost = _padded(hidden_size, n_layers)
    return _search(n_tokens, label, flops_budget, max_truncated, limit, cost, cut)


def wrong_ignores_the_budget(
    n_tokens,
    label,
    flops_budget,
    max_truncated=0.01,
    hidden_size=384,
    n_layers=6,
    limit=512,
):
    # the quantile of the worst class, whatever it costs
    cost = _padded(hidden_size, n_layers)
    if not len(n_tokens) or cost(np.asarray(n_tokens), 8) > flops_budget:
        raise ValueError("no texts, or over the budget")
    return _search(
        n_tokens, label, math.inf, max_truncated, limit, lambda n, length: 0, _by_class
    )


def wrong_takes_the_largest_affordable(
    n_tokens,
    label,
    flops_budget,
    max_truncated=0.01,
    hidden_size=384,
    n_layers=6,
    limit=512,
):
    # spends the budget even if nothing is cut any more
    cost = _padded(hidden_size, n_layers)
    return _search(n_tokens, label, flops_budget, -1, limit, cost, _by_class)
