"""Trades in, anomalies out: features, detectors, calibration, episodes, and the engine that orders them."""

from shared import kernel_cache

kernel_cache.install()
