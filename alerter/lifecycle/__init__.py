"""The life cycle of alerts (pure): what is remembered, why something is quiet, and what is told."""

from alerter.lifecycle.incidents import Outcome
from alerter.lifecycle.machine import Lifecycle

__all__ = ["Lifecycle", "Outcome"]
