"""The engine's parameters, and the detectors that they make."""

from dataclasses import dataclass
from typing import Final

from detector.calibration import CalibrationParams, Calibrator
from detector.catalogue import CATALOGUE
from detector.features import DEFAULT_WINDOWS_S, FeatureParams, Features, feature_names
from detector.online.forest import Forest, ForestParams
from detector.online.protocol import CalibrationStage, DetectorStage, FeatureStage, Scale
from detector.online.zscore import ZScore, ZScoreParams
from detector.patterns.flash_crash import FlashCrash, FlashCrashParams, Spike, crash_features
from detector.patterns.manipulation import MANIPULATION_FEATURES, Manipulation, ManipulationParams
from detector.patterns.pump_dump import PUMP_FEATURES, PumpDump, PumpDumpParams
from detector.patterns.pump_dump import WINDOW_S as _PUMP_WINDOW_S
from detector.patterns.pump_scorer import PumpScorer
from detector.patterns.wash_trading import WASH_FEATURES, WashTrading, WashTradingParams
from detector.patterns.whale import WHALE_FEATURES, Whale, WhaleParams
from detector.price_move import PriceFloors
from detector.ticks import TickParams

_NAMES: Final = tuple(entry.name for entry in CATALOGUE)


@dataclass(frozen=True, kw_only=True)
class EngineParams:
    """Everything that decides what is found; bounds stand in `config.py` (`DETECTOR_*`).

    Attributes:
        enabled: names of detectors whose anomalies are published.
        shadow: names of detectors on trial: their anomalies are published too, marked, and alert nobody.
        budget_per_day: anomalies per market, day and calibrated detector.
        min_move_pct: moves over 10 s below this are never price anomalies.
        zscore_window_trades: length of the sliding z-score.
        zscore_robust: whether it takes median and median absolute deviation.
        zscore_seasonal: whether it takes the rhythm of day and week from volume, rate and volatility.
        forest_trees: trees of the online forest.
        forest_window_trades: trades that the forest remembers.
        warm_up_trades: scores before a calibrated detector speaks.
        flash_crash_drop_pct: fall that is a flash crash.
        flash_crash_window_s: within which it must happen.
        flash_crash_min_drop_pct: smaller falls and rises within 300 s are no crash and no spike, by the rule
            that knows what the market usually moves.
        pump_scorer: a second opinion on pumps; None: there is none.
        pump_confirm_at: its probability from which on less evidence is a pump; 0: it never is for that.
        pump_veto_below: its probability under which no evidence is a pump.
        wash_window_trades: that tests for wash trading look at.
        whale_min_notional: smaller orders are never whales, in quote units.
        whale_quiet_s: event time without another whale that ends a school of them, one episode.
        episode_quiet_s: silence that closes any other episode.
        parole_s: event time after which a detector that raised on a market is tried there again.
        seed: of all randomness.
        ticks: when trades are told to the cross-market step; None: never.
    """

    enabled: tuple[str, ...] = (
        "combined",
        "whale",
        "flash_crash",
        "spike",
        "pump_dump",
        "wash_trading",
        "manipulation",
    )
    shadow: tuple[str, ...] = ()
    budget_per_day: float = 5.0
    min_move_pct: float = 0.3
    zscore_window_trades: int = 1_000
    zscore_robust: bool = False
    zscore_seasonal: bool = False
    forest_trees: int = 32
    forest_window_trades: int = 2_048
    warm_up_trades: int = 1_000
    flash_crash_drop_pct: float = 10.0
    flash_crash_window_s: float = 300.0
    flash_crash_min_drop_pct: float = 4.0
    pump_scorer: PumpScorer | None = None
    pump_confirm_at: float = 0.0
    pump_veto_below: float = 0.0
    wash_window_trades: int = 1_024
    whale_min_notional: float = 100_000.0
    whale_quiet_s: float = 5_400.0
    episode_quiet_s: float = 60.0
    parole_s: float = 600.0
    seed: int = 1
    ticks: TickParams | None = None

    def __post_init__(self) -> None:
        unknown = [name for name in (*self.enabled, *self.shadow) if name not in _NAMES]
        if unknown:
            raise ValueError(f"no such detector: {', '.join(unknown)}; there are {', '.join(_NAMES)}")

    @property
    def published(self) -> tuple[str, ...]:
        """Names of detectors that run for their own sake, in the order of the catalogue."""
        return tuple(name for name in _NAMES if name in self.enabled or name in self.shadow)

    @property
    def features(self) -> FeatureParams:
        """The windows and columns that the detectors need."""
        extra = () if self.flash_crash_window_s in DEFAULT_WINDOWS_S else (self.flash_crash_window_s,)
        windows_s = DEFAULT_WINDOWS_S + extra
        more: tuple[str, ...] = ("event_time_s",) if self.zscore_seasonal else ()
        usual = feature_names(windows_s)
        if not {"flash_crash", "spike"}.isdisjoint(self.published):
            more += ("event_time_s", *crash_features(self.flash_crash_window_s))
        if "whale" in self.published:
            more += WHALE_FEATURES
        if "pump_dump" in self.published:
            windows_s += () if _PUMP_WINDOW_S in windows_s else (_PUMP_WINDOW_S,)
            more += PUMP_FEATURES
        if "wash_trading" in self.published:
            more += WASH_FEATURES
        if "manipulation" in self.published:
            more += MANIPULATION_FEATURES
        columns = tuple(dict.fromkeys((*usual, *more))) if more else None
        return FeatureParams(windows_s=windows_s, columns=columns)

    @property
    def calibration(self) -> CalibrationParams:
        """How scores become rarities."""
        return CalibrationParams(warm_up_trades=self.warm_up_trades)

    @property
    def floors(self) -> PriceFloors:
        """What must at least have happened for a price anomaly."""
        return PriceFloors(min_move_pct=self.min_move_pct)


def make_features(params: EngineParams) -> FeatureStage:
    """Return the features of all markets."""
    return Features(params.features)


def make_calibration(params: EngineParams, *, scale: Scale) -> CalibrationStage:
    """Return the calibrators of one detector on all markets."""
    return Calibrator(params.calibration, scale=scale)


def make_detectors(params: EngineParams, *, features: tuple[str, ...]) -> dict[str, DetectorStage]:
    """Return what is enabled or on trial, and the members of that, in the order of the catalogue.

    Args:
        params: of the engine.
        features: names of the columns of the rows that they will get.
    """
    return {name: make_detector(name, params, features=features) for name in _needed(params)}


def _needed(params: EngineParams) -> list[str]:
    """Return the detectors that judge by themselves, and that what is published needs."""
    published = [entry for entry in CATALOGUE if entry.name in params.published]
    needed = {name for entry in published for name in (entry.members or (entry.name,))}
    return [entry.name for entry in CATALOGUE if entry.name in needed]


def shapes(params: EngineParams) -> dict[str, str]:
    """Return for every stage what its memory of a market depends on; what differs cannot be gone on with.

    Floors, budgets and thresholds are no part of it. Whoever adds a parameter that changes what a stage
    keeps adds it here; `tests/property/test_market_engines.py` fails otherwise.
    """
    windows, calibration = params.features.windows_s, params.calibration
    own: dict[str, tuple[object, ...]] = {
        "zscore": (params.zscore_window_trades, params.zscore_robust, params.zscore_seasonal),
        "forest": (params.forest_trees, params.forest_window_trades, params.seed),
        "flash_crash": (params.flash_crash_window_s,),
        "pump_dump": (params.pump_scorer is not None,),
        "wash_trading": (params.wash_window_trades,),
        "spike": (params.flash_crash_window_s,),
    }
    stages = {name: repr((windows, calibration, own.get(name))) for name in _needed(params)}
    combined = {entry.name: "" for entry in CATALOGUE if entry.members and entry.name in params.published}
    ticks = {} if params.ticks is None else {"ticks": ""}
    return stages | combined | ticks | {"features": repr(windows), "budget": ""}


def make_detector(  # noqa: PLR0911 - one answer for each name
    name: str, params: EngineParams, *, features: tuple[str, ...]
) -> DetectorStage:
    """Return a new detector of all markets.

    Args:
        name: in the catalogue; `combined` is none by itself.
        params: of the engine.
        features: names of the columns of the rows that it will get.

    Raises:
        ValueError: there is no such detector.
    """
    if name == "zscore":
        zscore = ZScoreParams(
            window_trades=params.zscore_window_trades,
            robust=params.zscore_robust,
            seasonal=params.zscore_seasonal,
            floors=params.floors,
        )
        return ZScore(zscore, features=features)
    if name == "forest":
        forest = ForestParams(
            trees=params.forest_trees,
            window_trades=params.forest_window_trades,
            sees_outside=True,
            seed=params.seed,
            floors=params.floors,
        )
        return Forest(forest, features=features)
    if name == "whale":
        whale = WhaleParams(min_notional=params.whale_min_notional, quiet_s=params.whale_quiet_s)
        return Whale(whale, features=features)
    if name in {"flash_crash", "spike"}:
        crash = FlashCrashParams(
            drop_pct=params.flash_crash_drop_pct,
            window_s=params.flash_crash_window_s,
            min_drop_pct=params.flash_crash_min_drop_pct,
            quiet_s=params.episode_quiet_s,
        )
        return (FlashCrash if name == "flash_crash" else Spike)(crash, features=features)
    if name == "pump_dump":
        pumps = PumpDumpParams(
            quiet_s=params.episode_quiet_s,
            scorer=params.pump_scorer,
            confirm_at=params.pump_confirm_at,
            veto_below=params.pump_veto_below,
        )
        return PumpDump(pumps, features=features)
    if name == "wash_trading":
        return WashTrading(WashTradingParams(window_trades=params.wash_window_trades), features=features)
    if name == "manipulation":
        return Manipulation(ManipulationParams(), features=features)
    raise ValueError(f"no detector is called {name!r}")
