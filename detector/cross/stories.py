"""Episodes of what the cross-market step finds: they open, are updated when markedly stranger, and close.

The rules are those of `detector/episodes.py`, per second instead of per trade: `Episode.trades` counts the
anomalous seconds.
"""

from typing import Final, NamedTuple

import msgspec

from detector import severity
from detector.arrays import loaded_str
from detector.episodes import STRONGER
from detector.wording import duration
from shared.clock import MICROSECONDS_PER_SECOND
from shared.codec import content_id
from shared.events import Anomaly, Episode, EpisodePhase, Window
from shared.stream.step import State

# The symbol and the venue of what is told of all markets together.
ALL: Final = "ALL-MARKETS"
EVERYWHERE: Final = "all"


class Sight(NamedTuple):
    """What is seen in an anomalous second.

    Attributes:
        symbol: the market that it is told of.
        exchange: the venue.
        price: there.
        trade_id: latest one there.
        event_time_us: of the latest trade that it rests on.
        score: higher is stranger.
        window_s: that it rests on.
        features: values that were judged.
        contributions: shares of the score.
        reason: one sentence.
    """

    symbol: str
    exchange: str
    price: float
    trade_id: int
    event_time_us: int
    score: float
    window_s: float
    features: dict[str, float]
    contributions: dict[str, float]
    reason: str


class Story(msgspec.Struct):
    """An open episode.

    Attributes:
        told: what was told last.
        opened_s: its first anomalous second.
        last_s: its latest one.
        held_s: the latest second that held it open.
        seconds: anomalous ones.
        peak: highest score.
    """

    told: Anomaly
    opened_s: int
    last_s: int
    held_s: int
    seconds: int
    peak: float

    def is_over(self, second: int, *, quiet_s: int) -> bool:
        """Return whether it has been quiet for long enough, or time was set back."""
        return not 0 <= second - self.held_s <= quiet_s


class Narrator:
    """Makes anomalies of what one detector of the cross-market step sees.

    Args:
        detector: its name; also what kind of anomaly it is, unless that is given.
        kind: of anomaly.
        fingerprint: of its parameters and version.
        threshold: on its score.
    """

    def __init__(self, detector: str, *, fingerprint: str, threshold: float, kind: str = "") -> None:
        self._detector = detector
        self._kind = kind or detector
        self._fingerprint = fingerprint
        self._threshold = threshold

    def open(self, sight: Sight, *, name: str, since_s: int, second: int, seconds: int) -> Story:
        """Return an episode that opens.

        Args:
            sight: what is seen.
            name: tells episodes of one second apart.
            since_s: its first anomalous second.
            second: the present one.
            seconds: anomalous ones so far.
        """
        identity = content_id(self._fingerprint, name, since_s, second, EpisodePhase.OPENED)
        episode = Episode(
            episode_id=identity,
            phase=EpisodePhase.OPENED,
            opened_us=since_s * MICROSECONDS_PER_SECOND,
            last_us=_end_us(second),
            trades=seconds,
            peak_score=sight.score,
            peak_rarity=1.0,
        )
        return Story(self._anomaly(sight, identity, episode), since_s, second, second, seconds, sight.score)

    def grow(self, story: Story, sight: Sight, *, second: int) -> Anomaly | None:
        """Take in an anomalous second; return what is to be told, when it is markedly stranger."""
        story.seconds += 1
        story.last_s = story.held_s = second
        story.peak = max(story.peak, sight.score)
        if sight.score < STRONGER * story.told.score:
            return None
        episode = self._episode(story, EpisodePhase.UPDATED)
        story.told = self._anomaly(sight, self._identity(story, second, EpisodePhase.UPDATED), episode)
        return story.told

    def close(self, story: Story, *, second: int) -> Anomaly:
        """Return the end of an episode: its peak, in the words of what was told last."""
        episode = self._episode(story, EpisodePhase.CLOSED)
        lasted_s = story.last_s + 1 - story.opened_s
        return msgspec.structs.replace(
            story.told,
            anomaly_id=self._identity(story, second, EpisodePhase.CLOSED),
            score=story.peak,
            severity=severity.of_score(self._kind, score=story.peak, threshold=self._threshold),
            event_time_us=max(story.told.event_time_us, _end_us(second)),
            window=Window(start_us=episode.opened_us, end_us=episode.last_us),
            reason=f"Over, after {duration(lasted_s)}. It was: {story.told.reason}",
            episode=episode,
        )

    def _identity(self, story: Story, second: int, phase: EpisodePhase) -> str:
        return content_id(self._fingerprint, story.told.episode.episode_id, second, phase)

    @staticmethod
    def _episode(story: Story, phase: EpisodePhase) -> Episode:
        return msgspec.structs.replace(
            story.told.episode,
            phase=phase,
            last_us=_end_us(story.last_s),
            trades=story.seconds,
            peak_score=story.peak,
        )

    def _anomaly(self, sight: Sight, identity: str, episode: Episode) -> Anomaly:
        start_us = max(0, sight.event_time_us - round(sight.window_s * MICROSECONDS_PER_SECOND))
        return Anomaly(
            anomaly_id=identity,
            symbol=sight.symbol,
            exchange=sight.exchange,
            kind=self._kind,
            detector=self._detector,
            fingerprint=self._fingerprint,
            severity=severity.of_score(self._kind, score=sight.score, threshold=self._threshold),
            score=sight.score,
            rarity=None,
            threshold=self._threshold,
            threshold_on="score",
            event_time_us=sight.event_time_us,
            trade_id=sight.trade_id,
            price=sight.price,
            window=Window(start_us=start_us, end_us=sight.event_time_us),
            features=sight.features,
            contributions=sight.contributions,
            reason=sight.reason,
            episode=episode,
        )


class Plot:
    """One episode at a time, of a detector that looks at all markets together.

    Args:
        narrator: tells it.
        quiet_s: without what holds it open, after which it closes.
    """

    def __init__(self, narrator: Narrator, *, quiet_s: int) -> None:
        self._narrator = narrator
        self._quiet_s = quiet_s
        self._story: Story | None = None

    def on_second(self, second: int, sight: Sight | None, *, is_held: bool) -> list[Anomaly]:
        """Go on by a second; return what is to be told.

        Args:
            second: the present one.
            sight: what is seen; None when that is nothing anomalous.
            is_held: whether it is enough to hold an episode open.
        """
        told: list[Anomaly] = []
        if self._story is not None and self._story.is_over(second, quiet_s=self._quiet_s):
            told.append(self._narrator.close(self._story, second=second))
            self._story = None
        if sight is None:
            if self._story is not None and is_held:
                self._story.held_s = second
        elif self._story is None:
            self._story = self._narrator.open(sight, name=ALL, since_s=second, second=second, seconds=1)
            told.append(self._story.told)
        elif (grown := self._narrator.grow(self._story, sight, second=second)) is not None:
            told.append(grown)
        return told

    def state(self) -> State:
        """Return the open episode."""
        return {"story": msgspec.json.encode(self._story).decode()}

    def load_state(self, state: State) -> None:
        """Go on from a state.

        Raises:
            ValueError: it is damaged.
        """
        try:
            self._story = msgspec.json.decode(loaded_str(state, "story"), type=Story | None)
        except msgspec.DecodeError as error:
            raise ValueError(f"damaged episode: {error}") from error


def _end_us(second: int) -> int:
    return (second + 1) * MICROSECONDS_PER_SECOND - 1
