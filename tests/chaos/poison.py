"""Records that no writer of ours would put on `trades`: invalid ones, and some as large as can be."""

from collections import Counter
from random import Random
from typing import Final

import msgspec

from shared import topics
from shared.codec import encode
from shared.events import Trade
from shared.stream.broker import Producer

# A market of its own: the padded trades are sound, and belong to the tape.
PADDED_MARKET: Final = "PAD-USDT"
# A broker takes no more than 1 MiB by default, our own producers 1 MB.
_LARGE_BYTES: Final = 990_000
_START_US: Final = 1_700_000_000_000_000
_FLUSH_S: Final = 30.0

_SOUND: Final = Trade("binance", "BTC-USDT", 1, 100.0, 1.0, False, _START_US, _START_US)


def invalid_values(number: int) -> list[bytes | None]:
    """Return one value of each kind that nobody can use; different numbers give different bytes."""
    sound = encode(msgspec.structs.replace(_SOUND, trade_id=number))
    price = b'"price":100.0'
    random = Random(number)  # noqa: S311 - bytes that do not compress
    return [
        sound[:-1],
        sound + b"}",
        b"[%d]" % number,
        *(
            sound.replace(price, b'"price":' + bad)
            for bad in (b'"100"', b"NaN", b"Infinity", b"1e999", b"-1")
        ),
        sound.replace(b"%d" % number, b"%d.5" % number, 1),
        b"\xff\xfe%d" % number,
        b'{"%d":' % number * 20_000,
        random.randbytes(_LARGE_BYTES),
        b"",
        None,
    ]


class Poisoner:
    """Publishes such records, and remembers them.

    Args:
        producer: nobody else's.
        markets: whose partitions they go to, in turn.
    """

    def __init__(self, producer: Producer, markets: tuple[str, ...]) -> None:
        self._producer = producer
        self._markets = markets
        self._doses = 0
        self._published = 0
        #: What must be set aside, and how often; a record without a value counts as an empty one.
        self.invalid: Counter[bytes] = Counter()
        self.padded = 0

    def dose(self) -> None:
        """Publish one record of each kind; they may wait until the broker takes them."""
        self._doses += 1
        for value in invalid_values(self._doses):
            self._publish(value, key=self._markets[self._published % len(self._markets)])
            self.invalid[value or b""] += 1
        self.padded += 1
        trade = msgspec.structs.replace(
            _SOUND, symbol=PADDED_MARKET, trade_id=self.padded, event_time_us=_START_US + self.padded
        )
        self._publish(encode(trade).ljust(_LARGE_BYTES), key=PADDED_MARKET)

    def close(self) -> None:
        """Wait until the broker has everything."""
        assert self._producer.flush(_FLUSH_S) == 0, "the broker does not take the poison"
        self._producer.close()

    def _publish(self, value: bytes | None, *, key: str) -> None:
        self._producer.produce(topics.TRADES, value, key=key.encode())
        self._published += 1
