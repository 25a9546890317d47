"""Parameters of the cross-market step."""

from dataclasses import dataclass, field
from typing import Final

from detector.catalogue import CROSS

NAMES: Final = tuple(entry.name for entry in CROSS)


@dataclass(frozen=True, kw_only=True)
class ArbitrageParams:
    """When prices of one market on two venues are an opportunity.

    Attributes:
        min_net_bps: least difference after fees, in hundredths of a percent.
        fees_bps: of buying on one venue and selling on the other, together.
        times_usual: least distance from the usual difference, in usual deviations from it.
        stale_s: a venue without a trade for longer has no price.
        persist_s: least time for which the difference must last.
        quiet_s: time without a difference that closes an episode.
        same_quotes: quote assets that count as one; what differs between them is part of what is usual.
        warm_up_min: minutes with prices on both venues before anything is told.
    """

    min_net_bps: float = 80.0
    fees_bps: float = 20.0
    times_usual: float = 8.0
    stale_s: float = 30.0
    persist_s: int = 3
    quiet_s: int = 120
    same_quotes: tuple[str, ...] = ("USD", "USDT", "USDC")
    warm_up_min: int = 10

    def __post_init__(self) -> None:
        if self.min_net_bps <= 0 or self.fees_bps < 0 or self.stale_s <= 0:
            raise ValueError(f"bounds must be positive: {self}")
        if not self.same_quotes:
            raise ValueError("same_quotes must name one quote asset at least")


@dataclass(frozen=True, kw_only=True)
class MarketMoveParams:
    """When the market as a whole moves.

    Attributes:
        least_pct: median move in 60 s, in percent; in other windows by the root of their length.
        times_usual: of the usual median move.
        least_share: of the markets that go along.
        least_markets: fewer are no market.
        quiet_s: time without a move that closes an episode.
    """

    least_pct: float = 1.0
    times_usual: float = 8.0
    least_share: float = 0.8
    least_markets: int = 5
    quiet_s: int = 120

    def __post_init__(self) -> None:
        if self.least_pct <= 0 or not 0.5 <= self.least_share <= 1:
            raise ValueError(f"least_pct must be positive, least_share between 0.5 and 1: {self}")


@dataclass(frozen=True, kw_only=True)
class LayeredBurstParams:
    """When bursts on several markets are one event.

    Attributes:
        least_markets: bases with a burst to the same side.
        least_score: -log10 of the probability of so many by chance.
        one_sided: share of a burst by takers of one side, net.
        quiet_s: time without one that closes an episode.
        warm_up_s: in which every listing's own level is learned, and how many come together.
    """

    least_markets: int = 4
    least_score: float = 8.0
    one_sided: float = 0.7
    quiet_s: int = 60
    warm_up_s: int = 3_600

    def __post_init__(self) -> None:
        if self.least_markets < 2 or self.least_score <= 0 or not 0 < self.one_sided <= 1:
            raise ValueError(f"several markets, a positive score, a share up to 1: {self}")


@dataclass(frozen=True, kw_only=True)
class ContextParams:
    """When an episode came with the market.

    Attributes:
        least_pct: median move of the others, in percent.
        least_markets: others; with fewer nothing is said.
    """

    least_pct: float = 0.2
    least_markets: int = 3


@dataclass(frozen=True, kw_only=True)
class CrossParams:
    """What the cross-market step finds.

    Attributes:
        enabled: names of detectors, of those of `detector.catalogue.CROSS`.
        lateness_s: for so long after a second's end its ticks are waited for, in event time.
        arbitrage: differences between venues.
        market_move: moves of the whole market.
        layered_burst: bursts on several markets.
        context: what is said of the episodes of other detectors.
    """

    enabled: tuple[str, ...] = NAMES
    lateness_s: float = 2.0
    arbitrage: ArbitrageParams = field(default_factory=ArbitrageParams)
    market_move: MarketMoveParams = field(default_factory=MarketMoveParams)
    layered_burst: LayeredBurstParams = field(default_factory=LayeredBurstParams)
    context: ContextParams = field(default_factory=ContextParams)

    def __post_init__(self) -> None:
        unknown = [name for name in self.enabled if name not in NAMES]
        if unknown:
            raise ValueError(f"no such detector: {', '.join(unknown)}; there are {', '.join(NAMES)}")
        if not 0 <= self.lateness_s <= 60:
            raise ValueError(f"lateness_s must be between 0 and 60, not {self.lateness_s}")
