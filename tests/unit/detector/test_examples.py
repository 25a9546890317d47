"""The examples in the docstrings of the detectors do what they say."""

import doctest
import importlib

import pytest


@pytest.mark.parametrize(
    "module",
    [
        "detector.evaluation.nab",
        "detector.library.learned.gaussian_mixture",
        "detector.library.learned.isolation_forest",
        "detector.library.learned.kmeans",
        "detector.library.learned.local_outlier_factor",
        "detector.library.learned.one_class_svm",
        "detector.library.statistical.dixon",
        "detector.library.statistical.grubbs",
        "detector.library.statistical.mad",
        "detector.library.statistical.quartiles",
        "detector.library.statistical.zscore",
        "detector.online.univariate",
        "detector.online.zscore",
        "detector.online.forest",
        "detector.online.ensemble",
        "detector.patterns.whale",
        "detector.patterns.flash_crash",
        "detector.patterns.manipulation",
        "detector.patterns.pump_dump",
        "detector.patterns.wash_trading",
        "detector.quotes.spoofing",
        "detector.evaluation.matching",
    ],
)
def test_example(module: str) -> None:
    failures, tried = doctest.testmod(importlib.import_module(module))
    assert tried > 0
    assert failures == 0
