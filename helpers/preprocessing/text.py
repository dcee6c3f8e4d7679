"""Clean and normalise texts before they are turned into numbers."""

import html
import re
import unicodedata
from collections.abc import Iterable

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin

TAG = re.compile(r"<(?:!--.*?--|/?[a-zA-Z][^<>]*)>", re.DOTALL)
URL = re.compile(r"(?:https?://|www\.)\S+")
EMAIL = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
NUMBER = re.compile(r"\d+(?:[.,:]\d+)*")
SPACE = re.compile(r"\s+")
# Format and control characters carry no text, but joiners shape emoji and several scripts.
KEPT_INVISIBLE = "\u200c\u200d"


class TextPreprocessor(TransformerMixin, BaseEstimator):
    """Clean texts one by one; nothing is learned from them.

    Applied in this order: HTML tags and entities, Unicode normal form, invisible characters, case, accents, URLs,
    e-mail addresses, numbers, repeated characters, white space.

    Args:
        strip_html: remove tags and resolve entities.
        normal_form: Unicode normal form, "NFC" or "NFKC", or None.
        url_token: replaces each URL; None: URLs stay.
        email_token: replaces each e-mail address; None: addresses stay.
        number_token: replaces each number; None: numbers stay.
        lowercase: fold to lower case.
        strip_accents: drop combining marks from Latin letters.
        max_repeat: a character repeated more often in a row is cut to this many; None: no cut.
        missing: what a missing text becomes.
    """

    def __init__(
        self,
        strip_html: bool = True,
        normal_form: str | None = "NFKC",
        url_token: str | None = "<url>",  # noqa: S107
        email_token: str | None = "<email>",  # noqa: S107
        number_token: str | None = None,
        lowercase: bool = True,
        strip_accents: bool = False,
        max_repeat: int | None = 3,
        missing: str = "",
    ) -> None:
        self.strip_html = strip_html
        self.normal_form = normal_form
        self.url_token = url_token
        self.email_token = email_token
        self.number_token = number_token
        self.lowercase = lowercase
        self.strip_accents = strip_accents
        self.max_repeat = max_repeat
        self.missing = missing

    def fit(self, X: Iterable, y=None) -> "TextPreprocessor":
        """Check the parameters and that X holds texts, shape (n_texts,) or (n_texts, 1)."""
        if self.normal_form not in (None, "NFC", "NFKC"):
            raise ValueError(f"normal_form must be NFC, NFKC or None, got {self.normal_form!r}")
        if self.max_repeat is not None and self.max_repeat < 1:
            raise ValueError(f"max_repeat must be at least 1 or None, got {self.max_repeat}")
        _texts(X)
        return self

    def transform(self, X: Iterable) -> np.ndarray:
        """Cleaned texts, shape (n_texts,), dtype object.

        Raises:
            ValueError: X is one text, or has several columns.
            TypeError: an element is neither text nor missing.
        """
        cleaned = [self.missing if text is None else self._clean(text) for text in _texts(X)]
        return np.array(cleaned, dtype=object)

    def get_feature_names_out(self, input_features=None) -> np.ndarray:
        """The name of the only column."""
        return np.array(["text"], dtype=object)

    def _clean(self, text: str) -> str:
        if self.strip_html:
            tokens = (self.url_token, self.email_token, self.number_token)
            text = html.unescape(TAG.sub(lambda tag: tag[0] if tag[0] in tokens else " ", text))
        if self.normal_form is not None:
            text = unicodedata.normalize(self.normal_form, text)
        text = "".join(c for c in text if c.isspace() or c in KEPT_INVISIBLE or unicodedata.category(c)[0] != "C")
        if self.lowercase:
            text = text.lower()
        if self.strip_accents:
            text = _without_accents(text)
        for pattern, token in ((URL, self.url_token), (EMAIL, self.email_token), (NUMBER, self.number_token)):
            if token is not None:
                text = pattern.sub(lambda _, token=token: token, text)
        if self.max_repeat is not None:
            text = re.sub(rf"([^\W\d_]|[!?.])\1{{{self.max_repeat},}}", r"\g<1>" * self.max_repeat, text)
        return SPACE.sub(" ", text).strip()

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.one_d_array = True
        tags.input_tags.two_d_array = False
        tags.input_tags.string = True
        tags.input_tags.allow_nan = True
        tags.requires_fit = False
        return tags


def _without_accents(text: str) -> str:
    decomposed = unicodedata.normalize("NFD", text)
    kept, base = [], ""
    for c in decomposed:
        if not unicodedata.combining(c):
            base = c
        elif "LATIN" in unicodedata.name(base, "") if base else False:
            continue
        kept.append(c)
    return unicodedata.normalize("NFC", "".join(kept))


def _texts(X: Iterable) -> list[str | None]:
    if isinstance(X, (str, bytes)):
        raise ValueError("expected a sequence of texts, got one text: wrap it in a list")
    if isinstance(X, pd.DataFrame) or (isinstance(X, np.ndarray) and X.ndim == 2):
        if X.shape[1] != 1:
            raise ValueError(f"expected one column of texts, got {X.shape[1]}")
        X = X.iloc[:, 0] if isinstance(X, pd.DataFrame) else X[:, 0]
    texts = []
    for i, text in enumerate(X):
        missing = pd.api.types.is_scalar(text) and pd.isna(text)
        if not missing and not isinstance(text, str):
            raise TypeError(f"element {i} is a {type(text).__name__}, not a text: {text!r:.50}")
        texts.append(None if missing else str(text))
    return texts
