"""The life cycle of alerts (pure): what is remembered, why something is quiet, and what is told."""

from alerter.lifecycle.machine import Lifecycle
from alerter.lifecycle.telling import Outcome

__all__ = ["Lifecycle", "Outcome"]
