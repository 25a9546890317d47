"""Parameters of the cross-market step."""

from dataclasses import dataclass, field


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
class CrossParams:
    """What the cross-market step finds.

    Attributes:
        lateness_s: for so long after a second's end its ticks are waited for, in event time.
        arbitrage: differences between venues.
    """

    lateness_s: float = 2.0
    arbitrage: ArbitrageParams = field(default_factory=ArbitrageParams)

    def __post_init__(self) -> None:
        if not 0 <= self.lateness_s <= 60:
            raise ValueError(f"lateness_s must be between 0 and 60, not {self.lateness_s}")
