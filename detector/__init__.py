"""Trades in, anomalies out: features, detectors, calibration, episodes, and the engine that orders them.

Also a library of detectors for tables, imported from here (`docs/library.md`). What they need takes a second
to load, so each is loaded when it is first asked for, and never by the stream.
"""

import importlib
from typing import TYPE_CHECKING, Final

from shared import kernel_cache

if TYPE_CHECKING:
    from detector.library.base import Detector, Explanation
    from detector.library.learned.gaussian_mixture import GaussianMixtureDetector
    from detector.library.learned.isolation_forest import (
        IsolationForestDetector,
        create_crypto_isolation_forest,
    )
    from detector.library.learned.kmeans import KMeansDetector
    from detector.library.learned.local_outlier_factor import LOFDetector
    from detector.library.learned.one_class_svm import OneClassSVMDetector
    from detector.library.loading import load_detector
    from detector.library.statistical.dixon import DixonDetector
    from detector.library.statistical.grubbs import GrubbsDetector
    from detector.library.statistical.mad import MADDetector
    from detector.library.statistical.quartiles import IQRDetector, TukeyDetector
    from detector.library.statistical.zscore import ZScoreDetector

kernel_cache.install()

__all__ = [
    "Detector",
    "DixonDetector",
    "Explanation",
    "GaussianMixtureDetector",
    "GrubbsDetector",
    "IQRDetector",
    "IsolationForestDetector",
    "KMeansDetector",
    "LOFDetector",
    "MADDetector",
    "OneClassSVMDetector",
    "TukeyDetector",
    "ZScoreDetector",
    "create_crypto_isolation_forest",
    "load_detector",
]

_HOMES: Final = {
    "Detector": "detector.library.base",
    "DixonDetector": "detector.library.statistical.dixon",
    "Explanation": "detector.library.base",
    "GrubbsDetector": "detector.library.statistical.grubbs",
    "IQRDetector": "detector.library.statistical.quartiles",
    "IsolationForestDetector": "detector.library.learned.isolation_forest",
    "MADDetector": "detector.library.statistical.mad",
    "TukeyDetector": "detector.library.statistical.quartiles",
    "ZScoreDetector": "detector.library.statistical.zscore",
    "LOFDetector": "detector.library.learned.local_outlier_factor",
    "OneClassSVMDetector": "detector.library.learned.one_class_svm",
    "KMeansDetector": "detector.library.learned.kmeans",
    "GaussianMixtureDetector": "detector.library.learned.gaussian_mixture",
    "create_crypto_isolation_forest": "detector.library.learned.isolation_forest",
    "load_detector": "detector.library.loading",
}


def __getattr__(name: str) -> object:
    """Return what the library exports under a name.

    Raises:
        AttributeError: it exports nothing of that name.
    """
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
