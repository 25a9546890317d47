"""Detectors of one named market event each."""
