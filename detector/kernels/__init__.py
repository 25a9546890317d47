"""Compiled mathematics that several detectors share."""
