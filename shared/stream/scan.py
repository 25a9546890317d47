"""Trades out of bytes, into columns: a compiled scanner of the one form in which our codec writes a trade.

The scanner knows nothing of JSON in general. It accepts the fields in our order without white space, plain
ASCII names, integers of up to 18 digits, and decimals whose digits a double holds exactly and that are scaled
by a power of ten that a double holds exactly too, so that one correctly rounded operation gives the nearest
double (Clinger, "How to read floating point numbers accurately", PLDI 1990). Whatever differs is left to
msgspec, so that the answer is msgspec's for every sequence of bytes; a property test holds it to that.
"""

import sys
from typing import Final, TypeAlias

import numpy as np
from numba import njit
from numpy.typing import NDArray

from shared import kernel_cache
from shared.codec import decode
from shared.errors import InvalidRecordError
from shared.events import Trade
from shared.stream.columns import TradeColumns
from shared.stream.raw_memory import low_zeros, word_at
from shared.stream.records import PADDING, Records

kernel_cache.install()

Bytes: TypeAlias = NDArray[np.uint8]
Ints: TypeAlias = NDArray[np.int64]
Floats: TypeAlias = NDArray[np.float64]
Words: TypeAlias = NDArray[np.uint64]

# Words are read as they lie in memory, lowest byte first.
CAN_SCAN: Final = sys.byteorder == "little"

_LONGEST_EXCHANGE: Final = 32
_LONGEST_SYMBOL: Final = 64
_LARGEST_EXACT: Final = 2**53
_MOST_DIGITS: Final = 18
_LARGEST_EXACT_POWER: Final = 22
_POWERS_OF_TEN: Final = 10.0 ** np.arange(_LARGEST_EXACT_POWER + 1)
# Names that are remembered before all are forgotten: nothing grows without bound.
_VENUES_KEPT: Final = 65_536

_ZERO: Final = ord("0")
_TENS: Final = 10 ** np.arange(9)


def _in_every_byte(value: int) -> np.uint64:
    return np.uint64(value * 0x0101010101010101)


_ONES: Final = _in_every_byte(1)
_SIXES: Final = _in_every_byte(6)
_SPACES: Final = _in_every_byte(ord(" "))
_QUOTES: Final = _in_every_byte(ord('"'))
_ZEROS: Final = _in_every_byte(_ZERO)
_BACKSLASHES: Final = _in_every_byte(ord("\\"))
_HIGH_BITS: Final = _in_every_byte(0x80)
_UPPER_HALVES: Final = _in_every_byte(0xF0)

# What stands between the values, in order; and how the kernel names each.
_LITERALS: Final = (
    '{"exchange":"',
    '","symbol":"',
    '","trade_id":',
    ',"price":',
    ',"quantity":',
    ',"is_buyer_maker":',
    ',"event_time_us":',
    ',"received_time_us":',
    "}",
    "true",
    "false",
)
_EXCHANGE, _SYMBOL, _TRADE_ID, _PRICE, _QUANTITY, _SELLS, _TIME, _RECEIVED, _END, _TRUE, _FALSE = range(
    len(_LITERALS)
)
_LENGTHS: Final = tuple(len(text) for text in _LITERALS)


def _words_of(texts: list[bytes]) -> Words:
    width = -(-max(len(text) for text in texts) // 8) * 8
    return np.array([np.frombuffer(text.ljust(width, b"\0"), np.uint64) for text in texts])


_EXPECTED: Final = _words_of([text.encode() for text in _LITERALS])
_MASKS: Final = _words_of([b"\xff" * len(text) for text in _LITERALS])

# Places in the matrices that the kernel fills.
_AT_VENUE, _AT_TRADE_ID, _AT_SELLS, _AT_TIME, _AT_RECEIVED = range(5)


@njit(cache=True, nogil=True)
def _after(content: Bytes, at: int, end: int, literal: int) -> int:
    """Return the place behind a literal, or -1 where something else stands; -1 stays -1."""
    length = _LENGTHS[literal]
    if at < 0 or at + length > end:
        return -1
    for index in range((length + 7) >> 3):
        if (word_at(content, at + 8 * index) & _MASKS[literal, index]) != _EXPECTED[literal, index]:
            return -1
    return at + length


@njit(cache=True, nogil=True)
def _name_end(content: Bytes, at: int, end: int, longest: int) -> int:
    """Return where a name of plain characters ends, or -1."""
    if at < 0:
        return -1
    for begin in range(at, min(end, at + longest + 1), 8):
        word = word_at(content, begin)
        # Control characters are no JSON; an escape and what is beyond ASCII are for msgspec.
        unusual = _bytes_equal(word, _BACKSLASHES) | _bytes_below(word, _SPACES) | (word & _HIGH_BITS)
        quote = low_zeros(_bytes_equal(word, _QUOTES))
        if low_zeros(unusual) < quote:
            return -1
        if quote < 64:
            name_end = begin + (quote >> 3)
            return name_end if 0 < name_end - at <= longest and name_end < end else -1
    return -1


@njit(cache=True, nogil=True)
def _bytes_below(word: np.uint64, limits: np.uint64) -> np.uint64:
    """Return the high bits of the bytes below a limit of at most 128; right up to and with the lowest one.

    After "Determine if a word has a byte less than n" of S. E. Anderson's Bit Twiddling Hacks.
    """
    return (word - limits) & ~word & _HIGH_BITS


@njit(cache=True, nogil=True)
def _bytes_equal(word: np.uint64, wanted: np.uint64) -> np.uint64:
    return _bytes_below(word ^ wanted, _ONES)


@njit(cache=True, nogil=True)
def _digits(content: Bytes, at: int, end: int, number: int) -> tuple[int, int]:
    """Return a number continued by the digits that stand here, and the place behind them.

    Beyond 18 digits the number is wrong; the caller counts them.
    """
    while True:
        word = word_at(content, at) ^ _ZEROS
        # A digit has become 0 to 9: neither its upper half is set, nor that of itself plus six.
        count = min(low_zeros((word | (word + _SIXES)) & _UPPER_HALVES) >> 3, end - at)
        if count <= 0:
            return number, at
        number = number * _TENS[count] + np.int64(_eight_digits(word << np.uint64(8 * (8 - count))))
        at += count
        if count < 8:
            return number, at


@njit(cache=True, nogil=True)
def _eight_digits(word: np.uint64) -> np.uint64:
    """Return the number whose digits, as numbers, are the bytes of a word, the first one in the lowest byte.

    After D. Lemire, "Quickly parsing eight digits" (2018): pairs, then fours, then all.
    """
    word = word * np.uint64(10) + (word >> np.uint64(8))
    low = (word & np.uint64(0x000000FF000000FF)) * np.uint64(0x000F424000000064)
    high = ((word >> np.uint64(16)) & np.uint64(0x000000FF000000FF)) * np.uint64(0x0000271000000001)
    return (low + high) >> np.uint64(32)


@njit(cache=True, nogil=True)
def _integer(content: Bytes, at: int, end: int) -> tuple[int, int]:
    """Return an integer and the place behind it, or -1 for the place."""
    if at < 0:
        return 0, -1
    number, behind = _digits(content, at, end, 0)
    count = behind - at
    if count == 0 or count > _MOST_DIGITS or (count > 1 and content[at] == _ZERO):
        return 0, -1
    return number, behind


@njit(cache=True, nogil=True)
def _exponent(content: Bytes, at: int, end: int) -> tuple[int, int]:
    """Return the power of ten that is written here and the place behind it; -1 for a damaged one."""
    if at >= end or (content[at] != ord("e") and content[at] != ord("E")):
        return 0, at
    at += 1
    is_negative = at < end and content[at] == ord("-")
    if at < end and (is_negative or content[at] == ord("+")):
        at += 1
    power, behind = _digits(content, at, end, 0)
    if not 1 <= behind - at <= 3:
        return 0, -1
    return -power if is_negative else power, behind


@njit(cache=True, nogil=True)
def _significand(content: Bytes, at: int, end: int) -> tuple[int, int, int]:
    """Return a decimal's digits as one number, how many stand behind the point, and the place behind them."""
    number, behind = _digits(content, at, end, 0)
    whole = behind - at
    if whole == 0 or (whole > 1 and content[at] == _ZERO):
        return 0, 0, -1
    if behind >= end or content[behind] != ord("."):
        return number, 0, behind if whole <= _MOST_DIGITS else -1
    point = behind
    number, behind = _digits(content, point + 1, end, number)
    fraction = behind - point - 1
    return number, fraction, behind if fraction > 0 and whole + fraction <= _MOST_DIGITS else -1


@njit(cache=True, nogil=True)
def _decimal(content: Bytes, at: int, end: int) -> tuple[float, int]:
    """Return a positive number and the place behind it, or -1 for the place."""
    if at < 0:
        return 0.0, -1
    significand, fraction, behind = _significand(content, at, end)
    if behind < 0 or not 0 < significand <= _LARGEST_EXACT:
        return 0.0, -1
    power, behind = _exponent(content, behind, end)
    power -= fraction
    if abs(power) > _LARGEST_EXACT_POWER:
        return 0.0, -1
    if power < 0:
        return significand / _POWERS_OF_TEN[-power], behind
    return significand * _POWERS_OF_TEN[power], behind


@njit(cache=True, nogil=True)
def _flag(content: Bytes, at: int, end: int) -> tuple[int, int]:
    behind = _after(content, at, end, _TRUE)
    if behind >= 0:
        return 1, behind
    return 0, _after(content, at, end, _FALSE)


@njit(cache=True, nogil=True)
def _hash(content: Bytes, begin: int, end: int) -> np.uint64:
    """Return a hash of some bytes, eight at a time (after FNV-1a, with a 64-bit golden ratio as factor)."""
    digest = np.uint64(end - begin)
    for at in range(begin, end, 8):
        word = word_at(content, at)
        if end - at < 8:
            word &= (np.uint64(1) << np.uint64(8 * (end - at))) - np.uint64(1)
        digest = (digest ^ word) * np.uint64(0x9E3779B97F4A7C15)
        digest ^= digest >> np.uint64(32)
    return digest


@njit(cache=True, nogil=True)
def _is_same(left: Bytes, left_at: int, right: Bytes, right_at: int, count: int) -> bool:
    for index in range(0, count, 8):
        different = word_at(left, left_at + index) ^ word_at(right, right_at + index)
        if count - index < 8:
            different &= (np.uint64(1) << np.uint64(8 * (count - index))) - np.uint64(1)
        if different:
            return False
    return True


@njit(cache=True, nogil=True)
def _venue(content: Bytes, begin: int, end: int, slots: Ints, names: Bytes, bounds: Ints) -> int:
    """Return the number of a pair of exchange and symbol, or -1 for one that was never seen."""
    slot = np.int64(_hash(content, begin, end) & np.uint64(len(slots) - 1))
    while slots[slot] >= 0:
        venue = int(slots[slot])
        at, count = bounds[venue, 0], bounds[venue, 1]
        if count == end - begin and _is_same(content, begin, names, at, count):
            return venue
        slot = (slot + 1) & (len(slots) - 1)
    return -1


@njit(cache=True, nogil=True)
def _scan(
    content: Bytes,
    begins: Ints,
    ends: Ints,
    slots: Ints,
    names: Bytes,
    bounds: Ints,
    whole: Ints,
    real: Floats,
) -> None:
    """Fill the columns of every record; where one is unusual, or its venue new, its venue is -1."""
    for row in range(len(begins)):
        end = ends[row]
        whole[_AT_VENUE, row] = -1
        pair = _after(content, begins[row], end, _EXCHANGE)
        at = _name_end(content, pair, end, _LONGEST_EXCHANGE)
        at = _after(content, at, end, _SYMBOL)
        pair_end = _name_end(content, at, end, _LONGEST_SYMBOL)
        at = _after(content, pair_end, end, _TRADE_ID)
        whole[_AT_TRADE_ID, row], at = _integer(content, at, end)
        at = _after(content, at, end, _PRICE)
        real[0, row], at = _decimal(content, at, end)
        at = _after(content, at, end, _QUANTITY)
        real[1, row], at = _decimal(content, at, end)
        at = _after(content, at, end, _SELLS)
        whole[_AT_SELLS, row], at = _flag(content, at, end)
        at = _after(content, at, end, _TIME)
        whole[_AT_TIME, row], at = _integer(content, at, end)
        at = _after(content, at, end, _RECEIVED)
        whole[_AT_RECEIVED, row], at = _integer(content, at, end)
        if _after(content, at, end, _END) == end:
            whole[_AT_VENUE, row] = _venue(content, pair, pair_end, slots, names, bounds)


class _Venues:
    """Pairs of exchange and symbol, numbered as they come, in a form that the kernel can search."""

    def __init__(self) -> None:
        self.pairs: list[tuple[str, str]] = []
        self._numbers: dict[tuple[str, str], int] = {}
        self._written = 0
        self.names = np.zeros(4_096, np.uint8)
        self.bounds = np.zeros((64, 2), np.int64)
        self.slots = np.full(256, -1)

    def number(self, exchange: str, symbol: str) -> int:
        """Return the number of a pair, a new one for a new pair."""
        pair = (exchange, symbol)
        if pair not in self._numbers:
            self._numbers[pair] = len(self.pairs)
            self.pairs.append(pair)
            # The bytes between the quotes, as the scanner finds them. Names that are not plain get an entry
            # that nobody will look for.
            self._add(f"{exchange}{_LITERALS[_SYMBOL]}{symbol}".encode())
        return self._numbers[pair]

    def _add(self, name: bytes) -> None:
        count = len(self.pairs)
        while self._written + len(name) + PADDING > len(self.names):
            self.names = np.concatenate([self.names, np.zeros_like(self.names)])
        if count > len(self.bounds):
            self.bounds = np.concatenate([self.bounds, np.zeros_like(self.bounds)])
        self.names[self._written : self._written + len(name)] = np.frombuffer(name, np.uint8)
        self.bounds[count - 1] = self._written, len(name)
        self._written += len(name)
        # At most a quarter full, so that searches are short and always end.
        if 4 * count > len(self.slots):
            self.slots = np.full(2 * len(self.slots), -1)
            for venue in range(count):
                self._enter(venue)
        else:
            self._enter(count - 1)

    def _enter(self, venue: int) -> None:
        at, length = self.bounds[venue]
        slot = int(_hash(self.names, at, at + length)) & (len(self.slots) - 1)
        while self.slots[slot] >= 0:
            slot = (slot + 1) & (len(self.slots) - 1)
        self.slots[slot] = venue


class TradeScanner:
    """Reads trades from records, and remembers the names that it has met."""

    def __init__(self) -> None:
        self._venues = _Venues()

    def scan(self, records: Records, *, goes_on: bool = False) -> tuple[TradeColumns, Ints]:
        """Return the trades of the sound records, and the places of those that are no trades.

        Raises nothing: an unsound record is for the caller to judge.

        Args:
            records: to be read.
            goes_on: whether the trades will be joined with those of the scan before, so that both must count
                in the same `venues`.
        """
        if len(self._venues.pairs) > _VENUES_KEPT and not goes_on:
            self._venues = _Venues()
        venues = self._venues
        whole = np.empty((5, len(records)), np.int64)
        real = np.empty((2, len(records)), np.float64)
        _scan(
            records.content,
            records.values_at,
            records.ends_at,
            venues.slots,
            venues.names,
            venues.bounds,
            whole,
            real,
        )
        unscanned = np.flatnonzero(whole[_AT_VENUE] < 0).tolist()
        invalid = [at for at in unscanned if not self._decoded(records, at, whole, real)]
        trades = TradeColumns(
            venues=venues.pairs,
            venue=whole[_AT_VENUE],
            trade_ids=whole[_AT_TRADE_ID],
            prices=real[0],
            quantities=real[1],
            sells=whole[_AT_SELLS],
            times_us=whole[_AT_TIME],
            received_us=whole[_AT_RECEIVED],
        )
        if not invalid:
            return trades, np.empty(0, np.int64)
        return trades.take(np.flatnonzero(whole[_AT_VENUE] >= 0)), np.array(invalid)

    def _decoded(self, records: Records, at: int, whole: Ints, real: Floats) -> bool:
        """Fill one row by msgspec; return whether the record is a trade."""
        try:
            trade = decode(records.value(at), Trade)
        except InvalidRecordError:
            return False
        whole[_AT_VENUE, at] = self._venues.number(trade.exchange, trade.symbol)
        whole[_AT_TRADE_ID, at] = trade.trade_id
        whole[_AT_SELLS, at] = trade.is_buyer_maker
        whole[_AT_TIME, at] = trade.event_time_us
        whole[_AT_RECEIVED, at] = trade.received_time_us
        real[:, at] = trade.price, trade.quantity
        return True
