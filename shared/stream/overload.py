"""When trades arrive faster than they can be judged: costly detectors pause, in a fixed order.

No trade is ever skipped: the step sheds work per trade, a level at a time. Whether it does depends on load,
and so do then its results; therefore it is off unless a limit is set.
"""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class OverloadPolicy:
    """When work is shed.

    Attributes:
        shed_above_lag_s: time that judging what waits would take, above which a level is added; 0 for never.
        calm_share: of that time, below which a level is taken away.
        raise_after_s: between two levels on the way up: time for the lower one to show.
        lower_after_s: calm before a level is taken away, so that one burst is one change.
        measure_every_s: between two looks at the lag.
    """

    shed_above_lag_s: float = 0.0
    calm_share: float = 0.25
    raise_after_s: float = 5.0
    lower_after_s: float = 30.0
    measure_every_s: float = 1.0


class Overload:
    """Decides how much is shed; a state machine that takes the time as an argument.

    Args:
        policy: when.
        levels: how many the step has.

    Attributes:
        level: what is shed now, 0 for nothing.
        lag_s: time that judging what waits will take, as last measured.
    """

    def __init__(self, policy: OverloadPolicy, *, levels: int) -> None:
        self._policy = policy
        self._levels = levels
        self._records = 0
        self._busy_s = 0.0
        self._measured_s: float | None = None
        self._changed_s = float("-inf")
        self._calm_since_s: float | None = None
        self.level = 0
        self.lag_s = 0.0

    def processed(self, *, records: int, busy_s: float) -> None:
        """Note that records were judged, and for how long that kept us busy."""
        self._records += records
        self._busy_s += busy_s

    def is_due(self, now_s: float) -> bool:
        """Return whether to measure the lag now."""
        return self._measured_s is None or now_s - self._measured_s >= self._policy.measure_every_s

    def measured(self, lag_records: int, *, now_s: float) -> bool:
        """Note how many records wait; return whether the level changed."""
        self._measured_s = now_s
        if not lag_records:
            self.lag_s = 0.0
        elif self._records:
            self.lag_s = lag_records * self._busy_s / self._records
        self._records, self._busy_s = 0, 0.0
        before = self.level
        if self._policy.shed_above_lag_s > 0:
            self._decide(now_s)
        return self.level != before

    def _decide(self, now_s: float) -> None:
        policy = self._policy
        if self.lag_s > policy.shed_above_lag_s:
            self._calm_since_s = None
            if self.level < self._levels and now_s - self._changed_s >= policy.raise_after_s:
                self.level += 1
                self._changed_s = now_s
        elif self.lag_s < policy.calm_share * policy.shed_above_lag_s:
            since_s = self._calm_since_s = now_s if self._calm_since_s is None else self._calm_since_s
            if self.level and now_s - since_s >= policy.lower_after_s:
                self.level -= 1
                self._calm_since_s = now_s
        else:
            self._calm_since_s = None
