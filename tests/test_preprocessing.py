"""The preprocessing keeps scikit-learn's contract, and real tables do not break it."""

import numpy as np
import pandas as pd
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.utils import estimator_checks
from sklearn.utils.estimator_checks import estimator_checks_generator

from helpers.preprocessing import (
    DataPreprocessor,
    OutlierClipper,
    OutlierDetector,
    TemporalFeatures,
    TextPreprocessor,
    stratified_split,
    time_split,
)

ESTIMATORS = [
    DataPreprocessor(),
    DataPreprocessor(clip=1.5, scale="robust", indicate_missing=True, min_frequency=2),
    TemporalFeatures(),
    TemporalFeatures(cyclic=False, timezone="Europe/Paris"),
    OutlierClipper(),
    # Fences near enough that the checks' data, which have no tails, have outliers.
    OutlierDetector(factor=0.2),
    OutlierDetector(method="robust_z", factor=1.5),
    OutlierDetector(method="isolation_forest"),
]


def contract_checks():
    """Every check of check_estimator but that of array API input, which no estimator here claims to support."""
    for estimator in ESTIMATORS:
        for checked, check in estimator_checks_generator(estimator):
            name = check.func.__name__
            if not name.startswith("check_array_api"):
                yield pytest.param(checked, check, id=f"{estimator}-{name}")


@pytest.mark.parametrize(("estimator", "check"), list(contract_checks()))
def test_estimators_keep_the_contract_of_scikit_learn(estimator, check):
    check(estimator)


@pytest.mark.parametrize(
    "check",
    [
        estimator_checks.check_estimator_cloneable,
        estimator_checks.check_estimator_repr,
        estimator_checks.check_no_attributes_set_in_init,
        estimator_checks.check_parameters_default_constructible,
        estimator_checks.check_get_params_invariance,
        estimator_checks.check_set_params,
    ],
)
def test_the_text_preprocessor_keeps_the_contract_where_tables_are_not_needed(check):
    check("TextPreprocessor", TextPreprocessor())


@pytest.fixture
def accounts():
    return pd.DataFrame(
        {
            "age": pd.array([31, None, 45, 28], dtype="Int64"),
            "balance": [10.5, np.nan, -3.0, 1e6],
            "active": pd.array([True, False, None, True], dtype="boolean"),
            "plan": ["basic", "pro", None, "basic"],
            "region": pd.Categorical(["north", "south", "north", None]),
            "code": [1, "1", 2.5, None],
            "empty": [np.nan] * 4,
        },
        index=[7, 7, 3, 3],
    )


def test_mixed_and_missing_values_become_finite_numbers_under_the_same_index(accounts):
    out = DataPreprocessor().set_output(transform="pandas").fit_transform(accounts)
    assert np.isfinite(out.to_numpy()).all()
    assert out.index.tolist() == accounts.index.tolist()
    assert {"age", "active", "empty", "plan_basic", "plan_missing", "region_missing"} <= set(out.columns)
    assert (out["empty"] == 0).all()


def test_nothing_is_learned_at_transform(accounts):
    preprocessor = DataPreprocessor().fit(accounts)
    alone = np.vstack([preprocessor.transform(accounts.iloc[[i]]) for i in range(len(accounts))])
    np.testing.assert_array_equal(alone, preprocessor.transform(accounts))


def test_an_unseen_category_encodes_as_zeros(accounts):
    out = DataPreprocessor(numeric=[], categorical=["plan"]).fit(accounts).transform(accounts.assign(plan="gold"))
    assert out.shape == (4, 3)
    assert not out.any()


def test_rare_and_unseen_categories_share_the_infrequent_column():
    plans = pd.DataFrame({"plan": ["a"] * 5 + ["b"] * 5 + ["c"]})
    preprocessor = DataPreprocessor(min_frequency=2).set_output(transform="pandas").fit(plans)
    out = preprocessor.transform(pd.DataFrame({"plan": ["c", "never seen"]}))
    assert (out["plan_infrequent_sklearn"] == 1).all()


def test_a_code_keeps_its_category_when_a_missing_row_turns_the_column_to_floats():
    preprocessor = DataPreprocessor(categorical=["code"]).fit(pd.DataFrame({"code": [1, 2, 2]}))
    assert preprocessor.transform(pd.DataFrame({"code": [2.0, np.nan]})).tolist() == [[0, 1], [0, 0]]


def test_columns_named_by_numbers_may_be_listed_and_must_come_back():
    frame = pd.DataFrame({10: [1.0, 2.0], 20: ["a", "b"]})
    preprocessor = DataPreprocessor(numeric=[10], categorical=[20]).fit(frame)
    assert preprocessor.transform(frame).shape == (2, 3)
    with pytest.raises(ValueError, match=r"columns must be those of fit, \[10, 20\]"):
        preprocessor.transform(frame[[20, 10]])


def test_an_empty_frame_transforms_to_no_rows(accounts):
    preprocessor = DataPreprocessor().fit(accounts)
    assert preprocessor.transform(accounts.iloc[:0]).shape == (0, len(preprocessor.get_feature_names_out()))


def test_listed_columns_alone_are_used(accounts):
    preprocessor = DataPreprocessor(numeric=["balance"], categorical=["plan"]).fit(accounts)
    assert preprocessor.get_feature_names_out().tolist() == ["balance", "plan_basic", "plan_missing", "plan_pro"]


def test_numbers_written_as_text_are_read_where_the_column_is_listed_as_numeric():
    out = DataPreprocessor(numeric=["a"], scale=None).fit_transform(pd.DataFrame({"a": ["1", "2.5", None]}))
    np.testing.assert_allclose(out.ravel(), [1, 2.5, 1.75])


def test_missing_values_are_indicated_where_training_had_them(accounts):
    preprocessor = DataPreprocessor(numeric=["age", "balance"], categorical=[], indicate_missing=True)
    out = preprocessor.set_output(transform="pandas").fit_transform(accounts)
    assert out["age_missing"].tolist() == [0, 1, 0, 0]


def test_clipping_limits_come_from_training():
    train = pd.DataFrame({"a": np.arange(100.0)})
    preprocessor = DataPreprocessor(clip=1.5, scale=None).fit(train)
    high = preprocessor.transform(pd.DataFrame({"a": [1e9]}))[0, 0]
    assert high == pytest.approx(74.25 + 1.5 * 49.5)


@pytest.mark.parametrize(
    ("frame", "says"),
    [
        (pd.DataFrame({"a": [1.0, np.inf]}), "'a' holds infinity"),
        (pd.DataFrame({"when": pd.to_datetime(["2026-01-01"])}), "TemporalFeatures"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "more than once"),
        (pd.DataFrame({"a": [1.0]}).iloc[:0], "0 sample"),
        (pd.DataFrame(index=[0, 1]), "0 feature"),
    ],
)
def test_fit_says_which_column_is_at_fault(frame, says):
    with pytest.raises(ValueError, match=says):
        DataPreprocessor().fit(frame)


def test_transform_refuses_other_columns_and_text_in_a_numeric_column(accounts):
    preprocessor = DataPreprocessor().fit(accounts)
    with pytest.raises(ValueError, match="feature names"):
        preprocessor.transform(accounts.drop(columns="age"))
    with pytest.raises(ValueError, match="'balance'"):
        preprocessor.transform(accounts.assign(balance="a lot"))


@pytest.mark.parametrize(
    ("parameters", "says"),
    [
        ({"scale": "log"}, "scale must be"),
        ({"numeric": ["salary"]}, r"\['salary'\] are not in X"),
        ({"numeric": ["plan"], "categorical": ["plan"]}, r"\['plan'\] are listed as numeric and as categorical"),
    ],
)
def test_fit_refuses_wrong_parameters(accounts, parameters, says):
    with pytest.raises(ValueError, match=says):
        DataPreprocessor(**parameters).fit(accounts)


def test_the_preprocessor_works_inside_a_pipeline(accounts):
    model = make_pipeline(DataPreprocessor(), LogisticRegression()).fit(accounts, [0, 1, 0, 1])
    assert model.predict(accounts).shape == (4,)


def test_timestamps_give_calendar_features_and_missing_ones_give_missing():
    frame = pd.DataFrame({"at": pd.to_datetime(["2026-01-03 06:30", None])})
    out = (
        TemporalFeatures(parts=("hour", "is_weekend"), cyclic=False).set_output(transform="pandas").fit_transform(frame)
    )
    assert out.loc[0].tolist() == [6.5, 1.0]
    assert out.loc[1].isna().all()


def test_midnight_is_near_the_minute_before_it():
    frame = pd.DataFrame({"at": pd.to_datetime(["2026-01-01 23:59", "2026-01-02 00:00", "2026-01-02 12:00"])})
    before, midnight, noon = TemporalFeatures(parts=("hour",)).fit_transform(frame)
    assert np.linalg.norm(before - midnight) < 0.01
    assert np.linalg.norm(noon - midnight) == pytest.approx(2)


def test_text_numbers_and_zones_name_the_same_moment():
    moment = pd.Timestamp("2026-07-01 10:00", tz="Europe/Paris")
    spellings = [pd.Series([moment]), pd.Series([moment.isoformat()]), pd.Series([moment.timestamp()])]
    features = TemporalFeatures(parts=("hour", "month"), cyclic=False, timezone="Europe/Paris")
    for at in spellings:
        assert features.fit_transform(at.to_frame("at")).tolist() == [[10.0, 6.0]]


def test_iso_text_of_several_lengths_is_read_and_several_offsets_need_a_zone():
    lengths = pd.DataFrame({"at": ["2026-01-01", "2026-01-01 10:00:00", None]})
    out = TemporalFeatures(parts=("hour",), cyclic=False).fit_transform(lengths)
    np.testing.assert_array_equal(out.ravel(), [0, 10, np.nan])
    offsets = pd.DataFrame({"at": ["2026-01-01T00:00+01:00", "2026-07-01T00:00+02:00"]})
    assert TemporalFeatures(parts=("hour",), cyclic=False, timezone="UTC").fit_transform(offsets).tolist() == [
        [23],
        [22],
    ]
    with pytest.raises(ValueError, match="'at' has several UTC offsets"):
        TemporalFeatures().fit(offsets)
    with pytest.raises(ValueError, match="unknown timezone 'Mars/Base'"):
        TemporalFeatures(timezone="Mars/Base").fit(lengths)


def test_what_is_no_timestamp_is_named():
    with pytest.raises(ValueError, match="'at' cannot be read as timestamps"):
        TemporalFeatures().fit(pd.DataFrame({"at": ["yesterday-ish"]}))
    with pytest.raises(ValueError, match="unknown parts"):
        TemporalFeatures(parts=("century",)).fit(pd.DataFrame({"at": [0.0]}))


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("<p>Hello&nbsp;&amp; goodbye</p>", "hello & goodbye"),
        ("See https://example.com/a?b=1 or mail me@example.org", "see <url> or mail <email>"),
        ("soooooo good!!!!!!", "sooo good!!!"),
        ("ﬁnal\u200b  \t\n\uff21\uff22\uff23", "final abc"),
        ("5 < 6 and 7 > 3", "5 < 6 and 7 > 3"),
        ("100000 units", "100000 units"),
        (None, ""),
        (np.nan, ""),
        (pd.NA, ""),
    ],
)
def test_text_is_cleaned(text, cleaned):
    assert TextPreprocessor().fit_transform([text]).tolist() == [cleaned]


def test_cleaning_twice_changes_nothing():
    texts = ["<b>Visit</b> www.a.com NOW!!!!", "Ünïcödé \uff34\uff25\uff38\uff34", "a@b.org  1,000.50"]
    cleaner = TextPreprocessor(strip_accents=True, number_token="<n>")
    once = cleaner.fit_transform(texts)
    assert cleaner.transform(once).tolist() == once.tolist()


def test_accents_are_dropped_from_latin_letters_only():
    cleaner = TextPreprocessor(strip_accents=True)
    assert cleaner.transform(["Crème brûlée", "किताब", "भी"]).tolist() == ["creme brulee", "किताब", "भी"]


def test_texts_feed_a_vectoriser_and_a_frame():
    texts = pd.DataFrame({"body": ["good <b>thing</b>", "bad thing"]}, index=[4, 4])
    assert make_pipeline(TextPreprocessor(), TfidfVectorizer()).fit_transform(texts).shape == (2, 3)
    framed = TextPreprocessor().set_output(transform="pandas").fit_transform(texts)
    assert framed["text"].tolist() == ["good thing", "bad thing"]


def test_what_is_no_text_is_refused():
    with pytest.raises(TypeError, match="element 1 is a int"):
        TextPreprocessor().transform(["a", 1])
    with pytest.raises(ValueError, match="wrap it in a list"):
        TextPreprocessor().transform("one text")


@pytest.mark.parametrize("method", ["iqr", "robust_z", "isolation_forest"])
def test_a_planted_outlier_is_found(method):
    values = np.random.default_rng(0).normal(size=(500, 2))
    values[123] = [40, -40]
    assert OutlierDetector(method=method).fit(values).score_samples(values).argmin() == 123
    assert OutlierDetector(method=method).fit_predict(values)[123] == -1


def test_a_column_without_spread_flags_nothing():
    values = np.zeros((100, 1))
    values[:3] = 1
    assert (OutlierDetector().fit_predict(values) == 1).all()
    np.testing.assert_array_equal(OutlierClipper().fit_transform(values), values)


@pytest.fixture
def days():
    return pd.DataFrame({"at": pd.date_range("2026-01-01", periods=30), "n": range(30)}, index=[0] * 30)


def test_time_split_leaves_the_gap_out(days):
    train, test = time_split(days.sample(frac=1, random_state=0), "at", "2026-01-08", gap="7D", test_length="7D")
    assert sorted(train["n"]) == list(range(7))
    assert sorted(test["n"]) == list(range(14, 21))


def test_time_split_takes_numbers_and_zones(days):
    train, test = time_split(days, "n", 10, gap=5)
    assert (len(train), len(test)) == (10, 15)
    zoned = days.assign(at=days["at"].dt.tz_localize("Europe/Paris"))
    assert len(time_split(zoned, "at", "2026-01-08")[0]) == 7


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"gap": "-1D"}, "gap must not be negative"),
        ({"train_end": "2020-01-01"}, "no train rows"),
        ({"gap": "99D"}, "no test rows"),
    ],
)
def test_time_split_refuses_what_cannot_be_evaluated(days, changes, says):
    with pytest.raises(ValueError, match=says):
        time_split(days, "at", **({"train_end": "2026-01-08"} | changes))


def test_time_split_refuses_what_is_no_time(days):
    with pytest.raises(ValueError, match="'at' holds object"):
        time_split(days.assign(at=days["at"].astype(str)), "at", "2026-01-08")
    with pytest.raises(ValueError, match="has the time zone UTC and 'at' has none"):
        time_split(days, "at", pd.Timestamp("2026-01-08", tz="UTC"))
    with pytest.raises(KeyError, match="'when'"):
        time_split(days, "when", "2026-01-08")


def test_time_split_refuses_missing_times(days):
    with pytest.raises(ValueError, match="1 of 30 values of 'at' are missing"):
        time_split(days.assign(at=days["at"].where(days["n"] > 0)), "at", "2026-01-08")


def test_stratified_split_keeps_the_shares_of_classes_and_groups_apart():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"fraud": rng.random(5000) < 0.1, "card": rng.integers(0, 300, 5000)})
    train, test = stratified_split(frame, "fraud", test_share=0.2)
    assert train["fraud"].mean() == pytest.approx(test["fraud"].mean(), abs=1e-3)
    assert len(test) == 1000
    train, test = stratified_split(frame, "fraud", test_share=0.2, group="card")
    assert not set(train["card"]) & set(test["card"])
    assert len(train) + len(test) == 5000
    assert train["fraud"].mean() == pytest.approx(test["fraud"].mean(), abs=0.02)


def test_stratified_split_names_a_class_that_is_too_rare():
    with pytest.raises(ValueError, match=r"classes \['c'\]"):
        stratified_split(pd.DataFrame({"y": ["a", "a", "b", "b", "c"]}), "y")
