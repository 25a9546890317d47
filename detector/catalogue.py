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


class LibraryEntry(NamedTuple):
    """One detector of the library, for tables instead of streams.

    Attributes:
        name: as in what is saved.
        family: `statistical` (column by column) or `learned` (a model of all columns).
        module: that it is imported from, when it is first asked for.
        exported: its name there, and in `detector`.
        about: what it finds strange, in a few words.
        has_window: whether it may compare rows with those just before them, and learn row by row.
    """

    name: str
    family: str
    module: str
    exported: str
    about: str
    has_window: bool


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

_STATISTICAL, _LEARNED = "detector.library.statistical", "detector.library.learned"

# Those that users import from `detector` (docs/library.md).
LIBRARY: Final = (
    LibraryEntry(
        "zscore",
        "statistical",
        f"{_STATISTICAL}.zscore",
        "ZScoreDetector",
        "a value many standard deviations from the mean",
        has_window=True,
    ),
    LibraryEntry(
        "mad",
        "statistical",
        f"{_STATISTICAL}.mad",
        "MADDetector",
        "a value many median absolute deviations from the median",
        has_window=True,
    ),
    LibraryEntry(
        "iqr",
        "statistical",
        f"{_STATISTICAL}.quartiles",
        "IQRDetector",
        "a value far beyond the quartiles",
        has_window=True,
    ),
    LibraryEntry(
        "tukey",
        "statistical",
        f"{_STATISTICAL}.quartiles",
        "TukeyDetector",
        "a value beyond the fences of a box plot",
        has_window=True,
    ),
    LibraryEntry(
        "grubbs",
        "statistical",
        f"{_STATISTICAL}.grubbs",
        "GrubbsDetector",
        "a value farther from the mean than chance explains",
        has_window=True,
    ),
    LibraryEntry(
        "dixon",
        "statistical",
        f"{_STATISTICAL}.dixon",
        "DixonDetector",
        "a gap to the other values that chance does not explain",
        has_window=True,
    ),
    LibraryEntry(
        "isolation_forest",
        "learned",
        f"{_LEARNED}.isolation_forest",
        "IsolationForestDetector",
        "a combination that random cuts isolate soon",
        has_window=False,
    ),
    LibraryEntry(
        "lof",
        "learned",
        f"{_LEARNED}.local_outlier_factor",
        "LOFDetector",
        "a row that lies less densely than its neighbours",
        has_window=False,
    ),
    LibraryEntry(
        "one_class_svm",
        "learned",
        f"{_LEARNED}.one_class_svm",
        "OneClassSVMDetector",
        "a row outside of the surface around the sample",
        has_window=False,
    ),
    LibraryEntry(
        "kmeans",
        "learned",
        f"{_LEARNED}.kmeans",
        "KMeansDetector",
        "a row far from all cluster centres",
        has_window=False,
    ),
    LibraryEntry(
        "gaussian_mixture",
        "learned",
        f"{_LEARNED}.gaussian_mixture",
        "GaussianMixtureDetector",
        "a row that is unlikely under a mixture of Gaussians",
        has_window=False,
    ),
)
