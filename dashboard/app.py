"""The dashboard's entry, `streamlit run dashboard/app.py`: reads the settings, keeps the feed.

`python -m dashboard` starts it with the address and port of the settings.
"""

import math
import sys
from pathlib import Path
from typing import Final

# `streamlit run` puts this file's folder on the path, not the one that holds our packages.
_ROOT: Final = str(Path(__file__).resolve().parents[1])
if _ROOT not in sys.path:
    sys.path.insert(0, _ROOT)

import streamlit as st  # noqa: E402 - found through the path set above, and so are those below

import config  # noqa: E402 - found through the path set above
from dashboard.archive import StoreArchive  # noqa: E402 - found through the path set above
from dashboard.desk import TopicDesk  # noqa: E402 - found through the path set above
from dashboard.feed import FeedParams, Source, TopicFeed  # noqa: E402 - found through the path set above
from dashboard.screens.frame import show_faults, show_pages  # noqa: E402 - found through the path set above
from dashboard.state import Limits  # noqa: E402 - found through the path set above
from shared import logs, topics  # noqa: E402 - found through the path set above
from shared.clock import MICROSECONDS_PER_SECOND, SystemClock  # noqa: E402 - found through the path set above
from shared.errors import ConfigError  # noqa: E402 - found through the path set above
from shared.store.database import Database  # noqa: E402 - found through the path set above
from shared.stream.kafka import KafkaBroker  # noqa: E402 - found through the path set above
from shared.stream.tail import Tail  # noqa: E402 - found through the path set above

_FOLLOWED: Final = (
    topics.TRADES,
    topics.ANOMALIES,
    topics.WORKER_STATUS,
    topics.TAPE_GAPS,
    topics.ALERTS,
    topics.QUARANTINES,
    topics.DEAD_LETTERS,
)
# Few events, and people ask about them for longer than about single trades.
_TOLD_LONG: Final = (topics.ANOMALIES, topics.ALERTS)
_TOLD_LONG_US: Final = 24 * 3_600 * MICROSECONDS_PER_SECOND


@st.cache_resource(show_spinner=False)
def _feed(_settings: config.Settings) -> TopicFeed:
    """Return the process's one feed; the settings do not change while the process lives."""
    logs.configure(worker="dashboard", level=_settings.log_level)
    broker = KafkaBroker(config.kafka_params(_settings))
    clock = SystemClock()

    def follow(since_us: int) -> Source:
        # The dashboard may be the first to come: without topics there would be nothing to follow.
        broker.ensure_topics()
        earlier_us = dict.fromkeys(_TOLD_LONG, min(since_us, max(0, clock.now_us() - _TOLD_LONG_US)))
        return Tail(broker, _FOLLOWED, since_us=since_us, earlier_us=earlier_us)

    limits = Limits(history_s=math.ceil(_settings.dashboard_history_s))
    feed = TopicFeed(open_source=follow, params=FeedParams(limits=limits), clock=clock)
    feed.start()
    return feed


@st.cache_resource(show_spinner=False)
def _desk(_settings: config.Settings) -> TopicDesk:
    """Return the process's one way to the alerter."""
    return TopicDesk(KafkaBroker(config.kafka_params(_settings)))


@st.cache_resource(show_spinner=False)
def _archive(_settings: config.Settings) -> StoreArchive:
    """Return the process's one way to the store."""
    return StoreArchive(Database(_settings.database_url.get_secret_value()), SystemClock())


def main() -> None:
    """Show the pages, or what is wrong with the settings."""
    try:
        settings = config.load()
    except ConfigError as error:
        show_faults(error.faults)
        return
    try:
        archive = _archive(settings)
    except ConfigError as error:
        show_faults(error.faults)
        return
    show_pages(_feed(settings), _desk(settings), archive)


if __name__ == "__main__":
    main()
