"""The detectors there are: one literal table. Their order is the order of events of one trade."""

from typing import Final, NamedTuple


class Entry(NamedTuple):
    """One detector.

    Attributes:
        name: as in `DETECTOR_ENABLED`.
        family: `online` (learns trade by trade), `pattern` (a named market event), `cross` (of several
            markets) or `quotes` (of order books).
        about: what it finds, in a few words.
        members: names of the detectors that it combines; empty when it judges by itself.
        pauses_at: level of overload from which it neither scores nor learns; 0: it never pauses.
    """

    name: str
    family: str
    about: str
    members: tuple[str, ...] = ()
    pauses_at: int = 0


CATALOGUE: Final = (
    Entry("zscore", "online", "a move, volume, rate or volatility far from its own recent mean", pauses_at=2),
    Entry("forest", "online", "a combination of values that is isolated among recent ones", pauses_at=1),
    Entry(
        "combined", "online", "what z-score and forest both find strange", ("zscore", "forest"), pauses_at=1
    ),
    Entry("whale", "pattern", "an order that is huge for its market, however it was split"),
    Entry("flash_crash", "pattern", "a deep fall within minutes, and what followed"),
    Entry("spike", "pattern", "a steep rise within minutes, and what followed"),
    Entry("pump_dump", "pattern", "an arranged rise on a thin market, and the sell-off after it"),
    Entry("wash_trading", "pattern", "volume that somebody makes by trading with himself"),
    Entry("manipulation", "pattern", "a move that one side drives and that is taken back at once"),
)

# That of quotes (`detector/quotes/`), a worker of its own.
QUOTES: Final = (Entry("spoofing", "quotes", "large orders that are shown and taken back untraded"),)

# Those of the cross-market step (`detector/cross/`), by their names in `DETECTOR_CROSS_ENABLED`.
CROSS: Final = (
    Entry("arbitrage", "cross", "one market that is markedly dearer on one venue than on another"),
    Entry("market_move", "cross", "many markets that fall, or rise, together"),
    Entry("layered_burst", "cross", "several markets bought or sold within seconds, and the others not"),
    Entry("context", "cross", "whether an episode of the other detectors came alone or with the market"),
)
