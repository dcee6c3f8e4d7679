"""Answers that the tests of token_bill must tell apart."""

import re
import unicodedata

import numpy as np
import pandas as pd


def _bill(
    reviews,
    usd_per_million_tokens,
    max_tokens,
    reference,
    unspaced,
    *,
    words=lambda text: sum(bool(re.search(r"\w", run)) for run in text.split()),
    characters=lambda text: len(re.sub(r"\s", "", unicodedata.normalize("NFC", text))),
    special=2,
    fits=lambda count, limit: count <= limit,
    cut=True,
    by_review=False,
    premium="usd_per_1000",
):
    if (reviews["language"] == reference).sum() == 0:
        raise ValueError("no review in the reference language")

    def ratio(tokens, below):
        if by_review:
            return np.mean(tokens / np.maximum(below, 1))
        return tokens.sum() / below.sum()

    rows = {}
    for language in sorted(reviews["language"].unique()):
        own = reviews[reviews["language"] == language]
        n_words = np.array([words(text) for text in own["text"]])
        n_characters = np.array([characters(text) for text in own["text"]])
        read = own["tokens"].to_numpy() + special
        tokens = own["tokens"].to_numpy()
        rows[language] = {
            "tokens_per_word": np.nan
            if language in unspaced
            else ratio(tokens, n_words),
            "tokens_per_character": ratio(tokens, n_characters),
            "unknown": own["unknown"].sum() / tokens.sum(),
            "truncated": np.mean([not fits(count, max_tokens) for count in read]),
            "usd_per_1000": usd_per_million_tokens
            / 1000
            * np.mean(np.minimum(read, max_tokens) if cut else read),
        }
    table = pd.DataFrame(rows).T
    table["premium"] = table[premium] / table.loc[reference, premium]
    return table


def right_by_language(
    reviews, usd_per_million_tokens, max_tokens, reference="en", unspaced=("ja",)
):
    # one language after the other, words by a regular expression
    return _bill(reviews, usd_per_million_tokens, max_tokens, reference, unspaced)


def wrong_counts_words_by_spaces(
    reviews, usd_per_million_tokens, max_tokens, reference="en", unspaced=("ja",)
):
    # Japanese by spaces: a sentence is one word
    return _bill(reviews, usd_per_million_tokens, max_tokens, reference, ())


def wrong_counts_punctuation(
    reviews, usd_per_million_tokens, max_tokens, reference="en", unspaced=("ja",)
):
    # a lone full stop is taken for a word
    arguments = reviews, usd_per_million_tokens, max_tokens, reference, unspaced
    return _bill(*arguments, words=lambda text: len(text.split()))


def wrong_words_in_ascii(
    reviews, usd_per_million_tokens, max_tokens, reference="en", unspaced=("ja",)
):
    # every accent ends a word
    arguments = reviews, usd_per_million_tokens, max_tokens, reference, unspaced
    return _bill(
        *arguments, words=lambda text: len(re.findall(r"[A-Za-z0-9'-]+", text))
    )


def wrong_means_of_ratios(
    reviews, usd_per_million_tokens, max_tokens, reference="en", unspaced=("ja",)
):
    # a review of one word weighs as much as one of fifty
    arguments = reviews, usd_per_million_tokens, max_tokens, reference, unspaced
    return _bill(*arguments, by_review=True)


def wrong_counts_code_points(
    reviews, usd_per_million_tokens, max_tokens, reference="en", unspaced=("ja",)
):
    # an accent of its own code point is counted as a character
    arguments = reviews, usd_per_million_tokens, max_tokens, reference, unspaced
    return _bill(*arguments, characters=lambda text: len("".join(text.split())))


def wrong_counts_bytes(
    reviews, usd_per_million_tokens, max_tokens, reference="en", unspaced=("ja",)
):
    # three bytes for each Japanese character
    arguments = reviews, usd_per_million_tokens, max_tokens, reference, unspaced
    return _bill(
        *arguments, characters=lambda text: len("".join(text.split()).encode())
    )


def wrong_forgets_special_tokens(
    reviews, usd_per_million_tokens, max_tokens, reference="en", unspaced=("ja",)
):
    # two tokens of each review are read and billed, too
    arguments = reviews, usd_per_million_tokens, max_tokens, reference, unspaced
    return _bill(*arguments, special=0)


def wrong_bills_what_is_cut(
    reviews, usd_per_million_tokens, max_tokens, reference="en", unspaced=("ja",)
):
    # tokens behind the cut are never read
    arguments = reviews, usd_per_million_tokens, max_tokens, reference, unspaced
    return _bill(*arguments, cut=False)


def wrong_cuts_one_early(
    reviews, usd_per_million_tokens, max_tokens, reference="en", unspaced=("ja",)
):
    # a review of exactly max_tokens fits
    arguments = reviews, usd_per_million_tokens, max_tokens, reference, unspaced
    return _bill(*arguments, fits=lambda count, limit: count < limit)


def wrong_premium_per_character(
    reviews, usd_per_million_tokens, max_tokens, reference="en", unspaced=("ja",)
):
    # fertility compared, not the bill
    arguments = reviews, usd_per_million_tokens, max_tokens, reference, unspaced
    return _bill(*arguments, premium="tokens_per_character")
