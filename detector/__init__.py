"""Trades in, anomalies out: features, detectors, calibration, episodes, and the engine that orders them."""
