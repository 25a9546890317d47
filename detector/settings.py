"""Settings that may differ per market: names, bounds, and who decides: market before class before default.

`DETECTOR_*` settings hold for all markets, until an event on the topic `detector-config` says otherwise for
all (`default`), for a class of markets (`class:<name>`) or for one (`market:<BASE-QUOTE>`). Of the classes
that a market is in, the one that comes last in the alphabet decides.

A change of what is told (budget, floors, thresholds, quiet time, what is enabled or on trial) leaves the
memory of a market as it is; a change of what is remembered (windows, trees, warm-up) starts the detectors
concerned afresh on that market.
"""

import difflib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields, replace
from fnmatch import fnmatchcase
from typing import Final, NamedTuple

from detector.catalogue import CATALOGUE
from detector.params import EngineParams
from shared.events import DetectorConfig, SettingValue

DEFAULT: Final = "default"
CLASS: Final = "class:"
MARKET: Final = "market:"

_DETECTORS: Final = tuple(entry.name for entry in CATALOGUE)
_TRUTHS: Final = {"true": True, "false": False}


class Setting(NamedTuple):
    """One setting; its name is that of `EngineParams`, and of `DETECTOR_*` in capitals.

    Attributes:
        kind: `float`, `int`, `bool`, or `tuple` for names of detectors.
        unit: of its values.
        low: smallest value; None: none.
        high: largest value; None: none.
        excludes_low: whether the smallest value itself is too small.
        excludes_high: whether the largest value itself is too large.
    """

    kind: type
    unit: str
    low: float | None = None
    high: float | None = None
    excludes_low: bool = False
    excludes_high: bool = False

    def bounds(self) -> str:
        """Return what it takes, in words."""
        if self.kind is tuple:
            return f"names of detectors, joined by commas: {', '.join(_DETECTORS)}"
        if self.kind is bool:
            return "true or false"
        number = "a whole number" if self.kind is int else "a number"
        low = "" if self.low is None else f" {'above' if self.excludes_low else 'from'} {self.low:,g}"
        high = "" if self.high is None else f" {'below' if self.excludes_high else 'to'} {self.high:,g}"
        return f"{number}{low}{high} ({self.unit})"


# Bounds as in `config.py`; a test compares.
SETTINGS: Final[Mapping[str, Setting]] = {
    "enabled": Setting(tuple, "names"),
    "shadow": Setting(tuple, "names"),
    "budget_per_day": Setting(float, "alerts/day", 0, 10_000, excludes_low=True),
    "min_move_pct": Setting(float, "%", 0, 100),
    "whale_min_notional": Setting(float, "quote", 0),
    "whale_quiet_s": Setting(float, "s", 1, 86_400),
    "flash_crash_drop_pct": Setting(float, "%", 0, 100, excludes_low=True, excludes_high=True),
    "flash_crash_min_drop_pct": Setting(float, "%", 0, 50, excludes_low=True, excludes_high=True),
    "episode_quiet_s": Setting(float, "s", 1, 86_400),
    "parole_s": Setting(float, "s", 1, 86_400),
    "warm_up_trades": Setting(int, "trades", 200, 1_000_000),
    "flash_crash_window_s": Setting(float, "s", 1, 3_600),
    "zscore_window_trades": Setting(int, "trades", 50, 100_000),
    "zscore_robust": Setting(bool, "true, false"),
    "zscore_seasonal": Setting(bool, "true, false"),
    "forest_trees": Setting(int, "trees", 1, 500),
    "forest_window_trades": Setting(int, "trades", 128, 65_536),
}


class Effective(NamedTuple):
    """What a market is judged by.

    Attributes:
        params: of the engine.
        sources: for each of `SETTINGS`, the scope that decided; `DETECTOR_*` where none did.
    """

    params: EngineParams
    sources: dict[str, str]


def effective(base: EngineParams, configs: Iterable[DetectorConfig], symbol: str) -> Effective:
    """Return what a market is judged by.

    Args:
        base: from the `DETECTOR_*` settings.
        configs: the latest of every scope, without faults.
        symbol: of the market.
    """
    values: dict[str, SettingValue] = {}
    sources = {name: f"DETECTOR_{name.upper()}" for name in SETTINGS}
    for config in sorted(configs, key=_precedence):
        if applies(config, symbol):
            values |= config.settings
            sources |= dict.fromkeys(config.settings, config.scope)
    return Effective(with_values(base, values), sources)


def with_values(base: EngineParams, values: Mapping[str, SettingValue]) -> EngineParams:
    """Return the parameters with some settings replaced.

    Raises:
        ValueError: a name is unknown, or a value out of bounds.
    """
    if found := list(faults(values)):
        raise ValueError("; ".join(found))
    return replace(base, **{name: SETTINGS[name].kind(value) for name, value in values.items()})


def differing(base: EngineParams, params: EngineParams) -> dict[str, SettingValue]:
    """Return the settings in which parameters differ from the base."""
    pairs = {name: (getattr(base, name), getattr(params, name)) for name in SETTINGS}
    return {name: value for name, (known, value) in pairs.items() if value != known}


def applies(config: DetectorConfig, symbol: str) -> bool:
    """Return whether an event sets something for a market."""
    if config.scope.startswith(CLASS):
        return any(fnmatchcase(symbol, _as_glob(pattern)) for pattern in config.markets)
    return config.scope in {DEFAULT, f"{MARKET}{symbol}"}


def config_faults(config: DetectorConfig) -> list[str]:
    """Return what is wrong with an event, in sentences."""
    found = list(faults(config.settings))
    is_class = config.scope.startswith(CLASS)
    if is_class and config.settings and not config.markets:
        found.append(f"{config.scope} names no markets; give --markets BTC-USDT,... or a pattern like *-BTC")
    if config.markets and not is_class:
        found.append(f"{config.scope} is no class; only a class names markets")
    return found


def faults(values: Mapping[str, SettingValue]) -> Iterator[str]:
    """Yield what is wrong with values, one sentence each, with the name and what it takes."""
    for name, value in values.items():
        setting = SETTINGS.get(name)
        if setting is None:
            close = difflib.get_close_matches(name, SETTINGS, n=1)
            hint = f"Did you mean {close[0]}?" if close else f"There are {', '.join(SETTINGS)}."
            yield f"{name} cannot be set per market. {hint}"
        elif not _is_valid(setting, value):
            yield f"{name} takes {setting.bounds()}, not {value!r}"


def parsed(assignments: Sequence[str]) -> dict[str, SettingValue]:
    """Return the values of `name=value` words.

    Raises:
        ValueError: one is no assignment, a name is unknown, or a value out of bounds; names all of them.
    """
    values: dict[str, SettingValue] = {}
    found: list[str] = []
    for word in assignments:
        name, equals, text = word.partition("=")
        if not equals:
            found.append(f"{word!r} sets nothing; write name=value")
            continue
        values[name] = _value(SETTINGS.get(name), text)
    found += faults(values)
    if found:
        raise ValueError("\n".join(found))
    return values


def dumped(values: Mapping[str, SettingValue]) -> str:
    """Return values as JSON, the same text for the same values."""
    return json.dumps(values, sort_keys=True)


def loaded(text: str) -> dict[str, SettingValue]:
    """Return the values of `dumped`.

    Raises:
        ValueError: that is no JSON object.
    """
    values = json.loads(text)
    if not isinstance(values, dict):
        raise ValueError(f"settings are no object: {text[:80]}")  # noqa: TRY004 - a damaged state is a ValueError
    return values


def _value(setting: Setting | None, text: str) -> SettingValue:
    """Return the value that a text stands for; the text itself when it stands for none."""
    if setting is None:
        return text
    if setting.kind is tuple:
        return [name for part in text.split(",") if (name := part.strip())]
    if setting.kind is bool:
        return _TRUTHS.get(text.lower(), text)
    try:
        return int(text) if setting.kind is int else float(text)
    except ValueError:
        return text


def _is_valid(setting: Setting, value: SettingValue) -> bool:
    if setting.kind is tuple:
        return isinstance(value, (list, tuple)) and all(name in _DETECTORS for name in value)
    if setting.kind is bool:
        return isinstance(value, bool)
    if isinstance(value, bool) or not isinstance(value, int if setting.kind is int else (int, float)):
        return False
    above = setting.low is None or (value > setting.low if setting.excludes_low else value >= setting.low)
    below = setting.high is None or (value < setting.high if setting.excludes_high else value <= setting.high)
    return above and below and value < float("inf")


def _precedence(config: DetectorConfig) -> tuple[int, str]:
    kinds = (DEFAULT, CLASS, MARKET)
    return next(rank for rank, kind in enumerate(kinds) if config.scope.startswith(kind)), config.scope


def _as_glob(pattern: str) -> str:
    # Only `*` is special: a market's name may hold any other character.
    return pattern.replace("[", "[[]").replace("?", "[?]")


assert set(SETTINGS) <= {field.name for field in fields(EngineParams)}, "a setting that the engine lacks"
