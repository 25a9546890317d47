"""The dashboard's pages on a made-up scene instead of a broker; for the browser test.

Run with `streamlit run`, from the root of the repository.
"""

import sys
from pathlib import Path
from tempfile import mkdtemp

import streamlit as st

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from dashboard.archive import StoreArchive  # noqa: E402 - found through the path set above
from dashboard.desk import TopicDesk  # noqa: E402 - found through the path set above
from dashboard.feed import FeedParams, TopicFeed  # noqa: E402 - found through the path set above
from dashboard.screens.frame import show_pages  # noqa: E402 - the same
from dashboard.state import Limits  # noqa: E402 - the same
from shared.clock import SystemClock  # noqa: E402 - the same
from shared.store.database import Database  # noqa: E402 - the same
from shared.stream.memory import MemoryBroker  # noqa: E402 - the same
from tests.data.dashboard_scene import SceneSource  # noqa: E402 - the same


@st.cache_resource
def scene_feed() -> TopicFeed:
    """Return the process's feed, following the scene."""
    feed = TopicFeed(
        open_source=SceneSource, params=FeedParams(limits=Limits(history_s=900)), clock=SystemClock()
    )
    feed.start()
    return feed


@st.cache_resource
def scene_desk() -> TopicDesk:
    """Return a desk whose commands stay in memory."""
    broker = MemoryBroker()
    broker.ensure_topics()
    return TopicDesk(broker)


@st.cache_resource
def scene_archive() -> StoreArchive:
    """Return an empty store, which ends with the process."""
    return StoreArchive(Database(f"sqlite:///{mkdtemp()}/store.db"), SystemClock())


show_pages(scene_feed(), scene_desk(), scene_archive())
