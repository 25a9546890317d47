"""Detectors that learn trade by trade."""
