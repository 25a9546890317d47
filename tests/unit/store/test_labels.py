from pathlib import Path

import msgspec

from shared.store.database import Database
from shared.store.labels import Label, Verdict, labels, save_label

FIRST = Label(
    episode_id="e",
    author="ann",
    verdict=Verdict.REAL,
    note="listing",
    time_us=10,
    symbol="BTC-USDT",
    exchange="binance",
    kind="whale",
    detector="whale",
    fingerprint="f",
    start_us=1,
    end_us=2,
)


def test_each_persons_latest_word_about_an_episode_is_kept_latest_first(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/store.db")
    database.migrate()
    again = msgspec.structs.replace(FIRST, verdict=Verdict.FALSE, time_us=30)
    other = msgspec.structs.replace(FIRST, author="bob", note="a\x00b", time_us=20)
    for label in (FIRST, other, again):
        with database.session() as session:
            save_label(session, label)
    with database.session(read_only=True) as session:
        assert labels(session) == [again, msgspec.structs.replace(other, note="a\ufffdb")]
        assert labels(session, limit=1) == [again]
    database.close()
