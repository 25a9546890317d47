"""Whales and flash crashes that are put into a generated market, with the truth about each.

A whale is one order, far larger than what the market sees in its largest hundredth: in one trade, or swept
through the book in many at one instant. A flash crash is a fall of the price that speeds up, a short stay at
the bottom, and a recovery of part of it, with several times the usual number of orders, most of them sales.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simulator.source import Injected

Floats = NDArray[np.float64]

SECONDS_PER_HOUR = 3_600.0


@dataclass(frozen=True, kw_only=True)
class ScenarioParams:
    """How often events come and how strong they are. Pairs are bounds of even draws (multiples: by ratio).

    Attributes:
        whales_per_hour: on each market, in source time.
        crashes_per_hour: on each market, in source time.
        first_event_after_s: a whale on the first market at this source time after the start, and a crash on
            the second (or only) market 10 s later; None: when chance will have it.
        whale_multiple: notional, over what 99 % of the market's orders stay below.
        crash_depth_pct: fall of the price.
        crash_fall_s: how long it falls.
        crash_bottom_s: how long it stays.
        crash_recovery: share of the fall that is regained.
        crash_recovery_s: time in which two thirds of that are regained.
        crash_activity: orders per second, over the usual.
    """

    whales_per_hour: float = 6.0
    crashes_per_hour: float = 1.0
    first_event_after_s: float | None = None
    whale_multiple: tuple[float, float] = (25.0, 100.0)
    crash_depth_pct: tuple[float, float] = (11.0, 25.0)
    crash_fall_s: tuple[float, float] = (20.0, 90.0)
    crash_bottom_s: tuple[float, float] = (2.0, 15.0)
    crash_recovery: tuple[float, float] = (0.5, 0.9)
    crash_recovery_s: tuple[float, float] = (30.0, 120.0)
    crash_activity: tuple[float, float] = (3.0, 8.0)


@dataclass(frozen=True, kw_only=True)
class Whale:
    """One very large order.

    Attributes:
        at_s: when, in seconds of the source.
        multiple: notional, over the market's 99 % point.
        fills: trades at that instant.
        is_sale: the taker's side.
        impact_pct: distance between the first and the last price.
    """

    at_s: float
    multiple: float
    fills: int
    is_sale: bool
    impact_pct: float


@dataclass(frozen=True, kw_only=True)
class Crash:
    """One flash crash; see `ScenarioParams` for the fields.

    Attributes:
        at_s: when it begins, in seconds of the source.
    """

    at_s: float
    depth_pct: float
    fall_s: float
    bottom_s: float
    recovery: float
    recovery_s: float
    activity: float

    @property
    def end_s(self) -> float:
        """When nothing of it is left to happen but a twentieth of the recovery."""
        return self.at_s + self.fall_s + self.bottom_s + 3 * self.recovery_s

    def is_over(self, time_s: float) -> bool:
        """Return whether its price and activity have settled to a ten-thousandth."""
        return time_s > self.end_s + 7 * self.recovery_s

    def log_offset(self, times_s: Floats) -> Floats:
        """Return what it adds to the logarithm of the price; the fall speeds up (power 1.7)."""
        depth = -np.log1p(-self.depth_pct / 100)
        elapsed = times_s - self.at_s
        falling = np.clip(elapsed / self.fall_s, 0, 1) ** 1.7
        after = np.maximum(elapsed - self.fall_s - self.bottom_s, 0)
        regained = self.recovery * -np.expm1(-after / self.recovery_s)
        offset: Floats = -depth * falling * (1 - regained)
        return offset

    def excess_activity(self, times_s: Floats) -> Floats:
        """Return what it adds to the factor on the rate of orders, fading in the recovery."""
        elapsed = times_s - self.at_s
        fading = np.exp(-np.maximum(elapsed - self.fall_s - self.bottom_s, 0) / self.recovery_s)
        return np.where(elapsed >= 0, (self.activity - 1) * fading, 0.0)

    def is_falling(self, times_s: Floats) -> NDArray[np.bool_]:
        """Return at which times the price falls."""
        return (times_s >= self.at_s) & (times_s < self.at_s + self.fall_s)

    def truth(self, *, symbol: str, market: str, start_us: int) -> Injected:
        """Return the line of the truth file.

        Args:
            symbol: the venue's name of the market.
            market: ours.
            start_us: source time of second 0.
        """
        return Injected(
            kind="flash_crash",
            symbol=symbol,
            market=market,
            start_us=start_us + round(self.at_s * 1e6),
            end_us=start_us + round(self.end_s * 1e6),
            parameters={
                "depth_pct": self.depth_pct,
                "fall_s": self.fall_s,
                "bottom_s": self.bottom_s,
                "recovery": self.recovery,
                "recovery_s": self.recovery_s,
                "activity": self.activity,
            },
        )


class Scenarios:
    """One market's events, drawn as time goes on.

    Args:
        params: how often and how strong.
        rng: of this market's events alone, so that they do not depend on its trades.
        first_whale_s: an event that is set, or None.
        first_crash_s: the same.
    """

    def __init__(
        self,
        params: ScenarioParams,
        *,
        rng: np.random.Generator,
        first_whale_s: float | None,
        first_crash_s: float | None,
    ) -> None:
        self._params = params
        self._rng = rng
        self._set_whales = [] if first_whale_s is None else [first_whale_s]
        self._set_crashes = [] if first_crash_s is None else [first_crash_s]
        self._next_whale_s = self._after(0.0, params.whales_per_hour)
        self._next_crash_s = self._after(0.0, params.crashes_per_hour)
        self._crashes_end_s = 0.0

    def whales(self, end_s: float) -> list[Whale]:
        """Return the whales before `end_s` that were not returned before, in order."""
        times, self._set_whales = _split(self._set_whales, end_s)
        while self._next_whale_s < end_s:
            times.append(self._next_whale_s)
            self._next_whale_s = self._after(self._next_whale_s, self._params.whales_per_hour)
        return [self._whale(at_s) for at_s in sorted(times)]

    def crashes(self, end_s: float) -> list[Crash]:
        """Return the crashes that begin before `end_s` and were not returned before; they never overlap."""
        times, self._set_crashes = _split(self._set_crashes, end_s)
        while self._next_crash_s < end_s:
            times.append(self._next_crash_s)
            self._next_crash_s = self._after(self._next_crash_s, self._params.crashes_per_hour)
        crashes = []
        for at_s in sorted(times):
            if at_s >= self._crashes_end_s:
                crash = self._crash(at_s)
                self._crashes_end_s = crash.end_s
                crashes.append(crash)
        return crashes

    def _after(self, time_s: float, per_hour: float) -> float:
        return time_s + self._rng.exponential(SECONDS_PER_HOUR / per_hour) if per_hour > 0 else np.inf

    def _whale(self, at_s: float) -> Whale:
        low, high = np.log(self._params.whale_multiple)
        is_swept = self._rng.random() < 0.5
        return Whale(
            at_s=at_s,
            multiple=float(np.exp(self._rng.uniform(low, high))),
            fills=int(self._rng.integers(5, 40)) if is_swept else 1,
            is_sale=bool(self._rng.random() < 0.5),
            impact_pct=float(self._rng.uniform(0.02, 0.15)) if is_swept else 0.0,
        )

    def _crash(self, at_s: float) -> Crash:
        params, draw = self._params, self._rng.uniform
        return Crash(
            at_s=at_s,
            depth_pct=draw(*params.crash_depth_pct),
            fall_s=draw(*params.crash_fall_s),
            bottom_s=draw(*params.crash_bottom_s),
            recovery=draw(*params.crash_recovery),
            recovery_s=draw(*params.crash_recovery_s),
            activity=draw(*params.crash_activity),
        )


def _split(times: list[float], end_s: float) -> tuple[list[float], list[float]]:
    return [time for time in times if time < end_s], [time for time in times if time >= end_s]
