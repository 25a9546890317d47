"""The engine of quotes: quotes of many markets in, spoofing and layering out.

Everything but the rows is that of trades (`detector/engine.py`): calibration to rarity, the alert budget,
episodes, quarantine, snapshots. A quote stands where a trade stands there: budgets and rarities count quotes,
the id of the source trade is the quote's update id, its price the middle.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from detector.engine import Engine
from detector.params import EngineParams
from detector.quotes.features import QuoteFeatureParams, QuoteFeatures
from detector.quotes.spoofing import NAME, Spoofing, SpoofingParams
from shared.events import DetectorConfig, Quote
from shared.stream.quotes import QuoteColumns
from shared.stream.step import Configured


@dataclass(frozen=True, kw_only=True)
class QuoteParams:
    """Everything that decides what is found in quotes.

    Attributes:
        budget_per_day: anomalies per market and day.
        warm_up_quotes: scores before it speaks.
        episode_quiet_s: silence that closes an episode.
        parole_s: event time after which a detector that raised on a market is tried there again.
        features: which orders are looked at.
        spoofing: what is too small.
    """

    budget_per_day: float = 5.0
    warm_up_quotes: int = 10_000
    episode_quiet_s: float = 60.0
    parole_s: float = 600.0
    features: QuoteFeatureParams = field(default_factory=QuoteFeatureParams)
    spoofing: SpoofingParams = field(default_factory=SpoofingParams)


class QuoteEngine(Engine):
    """Judges the quotes of many markets; a `shared.stream.step.Step`.

    Args:
        params: what it finds.
    """

    def __init__(self, params: QuoteParams) -> None:
        features = QuoteFeatures(params.features)
        super().__init__(
            EngineParams(
                enabled=(),
                budget_per_day=params.budget_per_day,
                warm_up_trades=params.warm_up_quotes,
                episode_quiet_s=params.episode_quiet_s,
                parole_s=params.parole_s,
            ),
            features=features,
            detectors={NAME: Spoofing(params.spoofing, of=features.fingerprint)},
        )

    def warm_up(self) -> None:
        """Compile everything, or load it from the cache, before a quote waits for it."""
        quote = Quote(
            exchange="warm-up",
            symbol="WARM-UP",
            update_id=1,
            event_time_us=1,
            received_time_us=1,
            bid=1.0,
            bid_quantity=1.0,
            ask=2.0,
            ask_quantity=1.0,
            traded=[(1.0, 1.0)],
        )
        self.on_batch(QuoteColumns.of_quotes([quote]))
        self.evict(quote.symbol)

    def configure(self, symbol: str, configs: Sequence[DetectorConfig]) -> Configured:  # noqa: ARG002 - a step's signature
        """Change nothing: settings of a market are those of its trades."""
        return Configured(has_changed=False, events=[])

    @property
    def shed_levels(self) -> int:
        """Return that nothing can be shed."""
        return 0
