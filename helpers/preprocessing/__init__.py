"""Prepare tables, texts and timestamps for models, by scikit-learn's estimator contract, and split rows fairly."""

from helpers.preprocessing.outliers import OutlierClipper, OutlierDetector
from helpers.preprocessing.split import stratified_split, time_split
from helpers.preprocessing.tabular import DataPreprocessor
from helpers.preprocessing.temporal import TemporalFeatures
from helpers.preprocessing.text import TextPreprocessor

__all__ = [
    "DataPreprocessor",
    "OutlierClipper",
    "OutlierDetector",
    "TemporalFeatures",
    "TextPreprocessor",
    "stratified_split",
    "time_split",
]
