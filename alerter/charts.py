"""The picture of an alert: price and volume of the minutes around the event, with the anomaly marked.

Drawn with Pillow, off-screen and without a browser, for a phone: 800 by 500 pixels in few colours, some 20
kilobytes. It is drawn twice as large and then reduced, as Pillow draws hard edges. Colours are those of Okabe
and Ito (see `shared/pictures.py`), which stay apart for colour-blind eyes.
"""

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from alerter.render import clean, price_words
from shared.clock import MICROSECONDS_PER_SECOND
from shared.events import Trade
from shared.pictures import BLACK, BLUE, GREEN, ORANGE, RED, SKY

WIDTH_PX: Final = 800
HEIGHT_PX: Final = 500
BUCKETS: Final = 220

_SCALE: Final = 2
_COLOURS: Final = 48
_LEFT, _RIGHT = 16, 92
_TITLE_Y, _TOP, _PRICE_END, _VOLUME_TOP, _BOTTOM = 12, 72, 336, 356, 462
_TEXT_PX: Final = 17
_TITLE_PX: Final = 23
_GRID: Final = "#E5E5E5"
_FAINT: Final = "#666666"
_SHADE: Final = "#FFF3D6"
_TICKS: Final = 4
_THOUSANDS: Final = (("T", 1e12), ("B", 1e9), ("M", 1e6), ("k", 1e3))
_STEPS: Final = (1.0, 2.0, 2.5, 5.0, 10.0)

_Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Moment:
    """What a chart is about; times in microseconds since the epoch, UTC.

    Attributes:
        title: first line.
        subtitle: second line, smaller.
        since_us: left edge.
        until_us: right edge, not included.
        opened_us: when the episode began; from there on it is shaded.
        closed_us: its latest event.
        event_us: the event that is marked.
        price: of the event, in quote units; 0 when it has none.
        quote: name of the unit of price and volume.
    """

    title: str
    subtitle: str
    since_us: int
    until_us: int
    opened_us: int
    closed_us: int
    event_us: int
    price: float
    quote: str


@dataclass(frozen=True)
class Bars:
    """Trades in intervals of equal length; prices are NaN in an interval without trades.

    Attributes:
        low: lowest price.
        high: highest price.
        last: price of the last trade.
        bought: quote units that takers bought.
        sold: quote units that takers sold.
    """

    low: _Floats
    high: _Floats
    last: _Floats
    bought: _Floats
    sold: _Floats


def bars(trades: Sequence[Trade], *, since_us: int, until_us: int, count: int = BUCKETS) -> Bars:
    """Return trades in so many intervals.

    Args:
        trades: in time order; those outside of the span are left out.
        since_us: beginning of the first interval.
        until_us: end of the last one.
        count: of intervals.
    """
    inside = [trade for trade in trades if since_us <= trade.event_time_us < until_us]
    times = np.array([trade.event_time_us - since_us for trade in inside], dtype=np.int64)
    prices = np.array([trade.price for trade in inside], dtype=np.float64)
    notional = prices * np.array([trade.quantity for trade in inside], dtype=np.float64)
    is_sold = np.array([trade.is_buyer_maker for trade in inside], dtype=np.bool_)
    slot = times * count // (until_us - since_us)
    low, high, last = np.full(count, np.inf), np.full(count, -np.inf), np.full(count, np.nan)
    np.minimum.at(low, slot, prices)
    np.maximum.at(high, slot, prices)
    # Of several values for one place, numpy keeps the last.
    last[slot] = prices
    low[np.isnan(last)] = high[np.isnan(last)] = np.nan
    return Bars(
        low=low,
        high=high,
        last=last,
        bought=_sums(slot[~is_sold], notional[~is_sold], count),
        sold=_sums(slot[is_sold], notional[is_sold], count),
    )


def _sums(slots: NDArray[np.int64], values: _Floats, count: int) -> _Floats:
    return np.bincount(slots, weights=values, minlength=count).astype(np.float64)


def draw(trades: Sequence[Trade], moment: Moment) -> bytes | None:
    """Return the chart as PNG, or None when there are no trades to draw.

    Args:
        trades: of one market on one venue, in time order.
        moment: what to show of them.
    """
    shown = bars(trades, since_us=moment.since_us, until_us=moment.until_us)
    if np.isnan(shown.last).all():
        return None
    picture = Image.new("RGB", (WIDTH_PX * _SCALE, HEIGHT_PX * _SCALE), "white")
    canvas = _Canvas(ImageDraw.Draw(picture), moment)
    canvas.heading()
    canvas.shade()
    canvas.prices(shown)
    canvas.volumes(shown)
    canvas.times()
    canvas.mark()
    reduced = picture.resize((WIDTH_PX, HEIGHT_PX), Image.Resampling.LANCZOS)
    few = reduced.quantize(_COLOURS, Image.Quantize.FASTOCTREE)
    written = io.BytesIO()
    few.save(written, "PNG", optimize=True)
    return written.getvalue()


class _Canvas:
    """Draws the parts of one chart; coordinates are pixels of the finished picture."""

    def __init__(self, pen: ImageDraw.ImageDraw, moment: Moment) -> None:
        self._pen = pen
        self._moment = moment
        self._low = self._high = moment.price

    def heading(self) -> None:
        """Write both titles."""
        width = WIDTH_PX - 2 * _LEFT
        self._text((_LEFT, _TITLE_Y), _cut(self._moment.title, _TITLE_PX, width), size=_TITLE_PX)
        self._text((_LEFT, _TITLE_Y + 30), _cut(self._moment.subtitle, _TEXT_PX, width), colour=_FAINT)

    def shade(self) -> None:
        """Shade the episode."""
        left, right = self._x(self._moment.opened_us), self._x(self._moment.closed_us)
        self._box((left, _TOP, max(right, left + 2), _BOTTOM), _SHADE)

    def prices(self, shown: Bars) -> None:
        """Draw grid, range and course of the price."""
        known = ~np.isnan(shown.last)
        low, high = float(shown.low[known].min()), float(shown.high[known].max())
        if self._moment.price > 0:
            low, high = min(low, self._moment.price), max(high, self._moment.price)
        # A price that stands still is a line in the middle.
        room = max((high - low) * 0.06, abs(high) * 1e-6)
        self._low, self._high = low - room, high + room
        step = _step((self._high - self._low) / _TICKS)
        for number in range(math.ceil(self._low / step), math.floor(self._high / step) + 1):
            y = self._y(number * step)
            self._line([(_LEFT, y), (WIDTH_PX - _RIGHT, y)], _GRID, 1)
            self._text((WIDTH_PX - _RIGHT + 6, y - 10), _price(number * step, step), colour=_FAINT)
        points = []
        for slot in np.flatnonzero(known):
            x = self._slot_x(int(slot)) + self._slot_width / 2
            self._line([(x, self._y(shown.low[slot])), (x, self._y(shown.high[slot]))], SKY, 2)
            points.append((x, self._y(shown.last[slot])))
        self._line(points, BLUE, 2)

    def volumes(self, shown: Bars) -> None:
        """Draw what was bought upon what was sold."""
        highest = float((shown.bought + shown.sold).max())
        height = (_BOTTOM - _VOLUME_TOP) / highest if highest > 0 else 0.0
        for slot, (sold, bought) in enumerate(zip(shown.sold, shown.bought, strict=True)):
            left, middle = self._slot_x(slot), _BOTTOM - sold * height
            right = left + max(1.0, self._slot_width - 0.5)
            if sold > 0:
                self._box((left, middle, right, _BOTTOM), ORANGE)
            if bought > 0:
                self._box((left, middle - bought * height, right, middle), GREEN)
        self._line([(_LEFT, _BOTTOM), (WIDTH_PX - _RIGHT, _BOTTOM)], BLACK, 1)
        self._text((WIDTH_PX - _RIGHT + 6, _VOLUME_TOP - 4), _short(highest), colour=_FAINT)
        self._text((WIDTH_PX - _RIGHT + 6, _VOLUME_TOP + 20), clean(self._moment.quote, 8), colour=_FAINT)
        self._text((WIDTH_PX - _RIGHT + 6, _VOLUME_TOP + 52), "bought", colour=GREEN)
        self._text((WIDTH_PX - _RIGHT + 6, _VOLUME_TOP + 74), "sold", colour=ORANGE)

    def times(self) -> None:
        """Write times of day below."""
        span_us = self._moment.until_us - self._moment.since_us
        for part in range(_TICKS + 1):
            time_us = self._moment.since_us + span_us * part // _TICKS
            words = f"{datetime.fromtimestamp(time_us / MICROSECONDS_PER_SECOND, UTC):%H:%M:%S}"
            x = self._x(time_us) - _width(words, _TEXT_PX) * part / _TICKS
            self._text((x, _BOTTOM + 8), words, colour=_FAINT)
        self._text((WIDTH_PX - _RIGHT + 6, _BOTTOM + 8), "UTC", colour=_FAINT)

    def mark(self) -> None:
        """Mark the event."""
        x = self._x(self._moment.event_us)
        self._line([(x, _TOP), (x, _BOTTOM)], RED, 2)
        if self._moment.price <= 0:
            return
        y = self._y(self._moment.price)
        self._pen.ellipse([value * _SCALE for value in (x - 6, y - 6, x + 6, y + 6)], outline=RED, width=5)
        words = price_words(self._moment.price)
        width = _width(words, _TEXT_PX)
        beside = x + 12 if x + 12 + width < WIDTH_PX - _RIGHT else x - 12 - width
        above = y - 26 if y - 26 > _TOP else y + 8
        self._box((beside - 3, above - 1, beside + width + 3, above + 21), "white")
        self._text((beside, above), words, colour=RED)

    def _x(self, time_us: int) -> float:
        span_us = self._moment.until_us - self._moment.since_us
        share = min(max((time_us - self._moment.since_us) / span_us, 0.0), 1.0)
        return _LEFT + share * (WIDTH_PX - _RIGHT - _LEFT)

    def _y(self, price: float) -> float:
        share = (price - self._low) / (self._high - self._low)
        return _PRICE_END - share * (_PRICE_END - _TOP)

    @property
    def _slot_width(self) -> float:
        return (WIDTH_PX - _RIGHT - _LEFT) / BUCKETS

    def _slot_x(self, slot: int) -> float:
        return _LEFT + slot * self._slot_width

    def _line(self, points: Sequence[tuple[float, float]], colour: str, width: int) -> None:
        scaled = [(x * _SCALE, y * _SCALE) for x, y in points]
        self._pen.line(scaled, fill=colour, width=width * _SCALE, joint="curve")

    def _box(self, corners: tuple[float, float, float, float], colour: str) -> None:
        self._pen.rectangle([value * _SCALE for value in corners], fill=colour)

    def _text(
        self, place: tuple[float, float], words: str, *, size: int = _TEXT_PX, colour: str = BLACK
    ) -> None:
        self._pen.text((place[0] * _SCALE, place[1] * _SCALE), words, fill=colour, font=_font(size * _SCALE))


@cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    # The one that Pillow brings, so that the picture needs nothing of the machine.
    return ImageFont.load_default(size)


def _width(words: str, size: int) -> float:
    return float(_font(size * _SCALE).getlength(words)) / _SCALE


def _cut(words: str, size: int, width: float) -> str:
    """Return what fits of some words."""
    words = clean(words, 400)
    if _width(words, size) <= width:
        return words
    while words and _width(words + "...", size) > width:
        words = words[:-1]
    return words + "..."


def _step(least: float) -> float:
    """Return a round distance between two ticks, at least so large."""
    unit = 10.0 ** math.floor(math.log10(least))
    return next(step * unit for step in _STEPS if step * unit >= least * (1 - 1e-9))


def _price(price: float, step: float) -> str:
    if not 1e-9 <= step < 1e12:
        return f"{price:.4g}"
    # A step of 2.5 needs one digit more than its magnitude says.
    digits = max(0, 1 - math.floor(math.log10(step)))
    words = f"{price:,.{digits}f}"
    return words.rstrip("0").rstrip(".") if "." in words else words


def _short(value: float) -> str:
    for name, size in _THOUSANDS:
        if value >= size:
            return f"{value / size:.3g}{name}"
    return f"{value:.3g}"
