"""Pictures for the page, as SVG without a script: a moment of a market, and how soon events were found.

Colours are classes that the page's style sheet gives a value to, so that one picture is right on light and
dark ground.
"""

import math
from collections.abc import Iterable, Sequence
from html import escape
from typing import Final, NamedTuple

import numpy as np

from detector.arrays import FloatVector, IntVector
from detector.evaluation.events import Span
from detector.evaluation.scores import Score
from detector.evaluation.tapes import MarketTape
from detector.explain_picture import thinned
from detector.explain_source import utc
from detector.wording import amount, price
from shared.clock import MICROSECONDS_PER_SECOND

_WIDTH: Final = 440.0
_LEFT: Final = 66.0
_RIGHT: Final = 428.0
_PRICE_Y: Final = (10.0, 150.0)
_VOLUME_Y: Final = (162.0, 212.0)
_HEIGHT: Final = 236.0
_BARS: Final = 60
_CHART_HEIGHT: Final = 260.0
_CHART_Y: Final = (12.0, 210.0)
_MINUTE_US: Final = 60 * MICROSECONDS_PER_SECOND


class Moment(NamedTuple):
    """What a picture shows.

    Attributes:
        span: of time.
        right: when an alarm is right, if there is an event.
        start_us: the labelled start, if there is an event.
        alarms_us: when the contestant told something of the kind.
        others_us: when it told something else.
    """

    span: Span
    right: Span | None
    start_us: int | None
    alarms_us: Sequence[int]
    others_us: Sequence[int]


class _Scale:
    """Where values lie between two places of the picture."""

    def __init__(self, low: float, high: float, first: float, last: float) -> None:
        self._low, self._width = low, (high - low) or 1.0
        self._first, self._last = first, last

    def __call__(self, value: float) -> float:
        return self._first + (value - self._low) / self._width * (self._last - self._first)


def moment(tape: MarketTape, shown: Moment) -> str:
    """Return price, volume, what was told and what is labelled, around a moment."""
    part = tape.between(shown.span.start_us, shown.span.end_us)
    time = _Scale(shown.span.start_us, shown.span.end_us, _LEFT, _RIGHT)
    parts = [*_ground(shown, time)]
    if part.prices.size:
        parts += [*_price(part, time), *_volume(part, shown.span)]
    else:
        parts.append(f'<text x="{(_LEFT + _RIGHT) / 2}" y="80" class="mid">no trades</text>')
    parts += [*_clock(shown.span, time), *_marks(shown, time)]
    name = f"{tape.symbol} around {utc(shown.span.start_us)[:19]}"
    return _svg(parts, _HEIGHT, name)


def found_by_time(scores: Sequence[Score]) -> str:
    """Return the share of events that were found within so many seconds, one line per contestant."""
    rule = scores[0].rule
    delays_s = [delay_s for score in scores for delay_s in score.tally.delays_s]
    low, high = -rule.early_s, max([rule.late_s, *delays_s])
    across, up = _Scale(low, high, _LEFT, _RIGHT), _Scale(0.0, 1.0, _CHART_Y[1], _CHART_Y[0])
    parts = []
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        y = up(share)
        parts.append(f'<path d="M{_LEFT} {y:.1f}H{_RIGHT}" class="grid"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" class="end">{share:.0%}</text>')
    for second in _round_steps(low, high):
        x = across(second)
        parts.append(f'<path d="M{x:.1f} {_CHART_Y[0]}V{_CHART_Y[1]}" class="grid"/>')
        parts.append(f'<text x="{x:.1f}" y="{_CHART_Y[1] + 16}" class="mid">{second:g}</text>')
    parts.append(
        f'<text x="{(_LEFT + _RIGHT) / 2}" y="{_CHART_Y[1] + 36}" class="mid">'
        "seconds from the labelled start</text>"
    )
    parts.append(f'<path d="M{across(0):.1f} {_CHART_Y[0]}V{_CHART_Y[1]}" class="truth"/>')
    # The first one is drawn last, on top of the others.
    for number, score in reversed(list(enumerate(scores))):
        tally = score.tally
        line = f"M{_LEFT} {up(0):.1f}"
        for count, delay_s in enumerate(sorted(tally.delays_s), 1):
            line += f"H{across(delay_s):.1f}V{up(count / tally.events):.1f}"
        parts.append(f'<path d="{line}H{_RIGHT}" class="line c{number % 6}"/>')
    return _svg(parts, _CHART_HEIGHT, "share of the events found, by time from their labelled start")


def _ground(shown: Moment, time: _Scale) -> Iterable[str]:
    if shown.right is not None:
        left, right = max(time(shown.right.start_us), _LEFT), min(time(shown.right.end_us), _RIGHT)
        if right > left:
            yield (
                f'<rect x="{left:.1f}" y="{_PRICE_Y[0]}" width="{right - left:.1f}" '
                f'height="{_VOLUME_Y[1] - _PRICE_Y[0]}" class="right"/>'
            )


def _price(part: MarketTape, time: _Scale) -> Iterable[str]:
    low, high = float(part.prices.min()), float(part.prices.max())
    room = (high - low) * 0.05 or low * 0.001
    up = _Scale(low - room, high + room, _PRICE_Y[1], _PRICE_Y[0])
    for value in (low, high) if high > low else (low,):
        yield f'<path d="M{_LEFT} {up(value):.1f}H{_RIGHT}" class="grid"/>'
        yield f'<text x="{_LEFT - 5}" y="{up(value) + 4:.1f}" class="end">{_short(value)}</text>'
    kept = thinned(part.times_us, part.prices, parts=360)
    line = _steps(part.times_us[kept], part.prices[kept], time, up)
    yield f'<path d="{line}H{_RIGHT}" class="price"/>'


def _volume(part: MarketTape, span: Span) -> Iterable[str]:
    bar = (part.times_us - span.start_us) * _BARS // (span.end_us - span.start_us)
    notional = part.prices * part.bought
    bought = np.bincount(bar, np.maximum(notional, 0.0), _BARS)
    sold = np.bincount(bar, np.maximum(-notional, 0.0), _BARS)
    highest = float((bought + sold).max())
    up = _Scale(0.0, highest, 0.0, _VOLUME_Y[1] - _VOLUME_Y[0])
    width = (_RIGHT - _LEFT) / _BARS
    for values, below, name in ((sold, np.zeros(_BARS), "sold"), (bought, sold, "bought")):
        line = "".join(
            f"M{_LEFT + at * width:.1f} {_VOLUME_Y[1] - up(float(below[at])):.1f}"
            f"h{width * 0.8:.1f}v{-up(float(values[at])):.1f}h{-width * 0.8:.1f}z"
            for at in np.flatnonzero(values).tolist()
        )
        yield f'<path d="{line}" class="{name}"/>'
    yield f'<text x="{_LEFT - 5}" y="{_VOLUME_Y[0] + 8}" class="end">{_short(highest)}</text>'


def _clock(span: Span, time: _Scale) -> Iterable[str]:
    minutes = (span.end_us - span.start_us) / _MINUTE_US
    step_us = next((m for m in (1, 2, 5, 10, 30, 60, 180, 360, 720) if minutes / m <= 6), 1_440) * _MINUTE_US
    yield f'<path d="M{_LEFT} {_VOLUME_Y[1]}H{_RIGHT}" class="axis"/>'
    at_us = math.ceil(span.start_us / step_us) * step_us
    while at_us < span.end_us:
        x = min(max(time(at_us), _LEFT + 14), _RIGHT - 14)
        yield f'<path d="M{time(at_us):.1f} {_VOLUME_Y[1]}v4" class="axis"/>'
        yield f'<text x="{x:.1f}" y="{_VOLUME_Y[1] + 17}" class="mid">{utc(at_us)[11:16]}</text>'
        at_us += step_us


def _marks(shown: Moment, time: _Scale) -> Iterable[str]:
    top, bottom = _PRICE_Y[0], _VOLUME_Y[1]
    for at_us in shown.others_us:
        yield f'<path d="M{time(at_us):.1f} {bottom}v-9" class="other"/>'
    if shown.start_us is not None:
        yield f'<path d="M{time(shown.start_us):.1f} {top}V{bottom}" class="truth"/>'
    for at_us in shown.alarms_us:
        x = time(at_us)
        yield f'<path d="M{x:.1f} {top}V{bottom}" class="alarm"/>'
        yield f'<path d="M{x - 4:.1f} {top - 7}h8l-4 7z" class="flag"/>'


def _steps(times_us: IntVector, values: FloatVector, time: _Scale, up: _Scale) -> str:
    places = [(time(at), up(value)) for at, value in zip(times_us.tolist(), values.tolist(), strict=True)]
    x, y = places[0]
    return f"M{x:.1f} {y:.1f}" + "".join(f"H{x:.1f}V{y:.1f}" for x, y in places[1:])


def _round_steps(low: float, high: float) -> list[float]:
    rough = (high - low) / 6
    size = 10 ** math.floor(math.log10(rough))
    step = next(size * times for times in (1, 2, 5, 10) if size * times >= rough)
    return [number * step for number in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _short(value: float) -> str:
    """Return a number in the room beside the picture."""
    if abs(value) >= 1e6:
        return f"{value / 1e6:,.3g} m"
    if 1e-4 <= abs(value) < 1.0:
        return price(float(f"{value:.3g}"))
    return f"{value:.3g}" if abs(value) < 1e-4 else (f"{value:.5g}" if abs(value) < 1e4 else amount(value))


def _svg(parts: Iterable[str], height: float, name: str) -> str:
    return (
        f'<svg viewBox="0 0 {_WIDTH:g} {height:g}" role="img" aria-label="{escape(name)}">'
        f"{''.join(parts)}</svg>"
    )
