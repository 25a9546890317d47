"""The trades of one market around a moment, and what is said about a wrong question."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from detector.explain_source import trades_of, with_progress
from shared.errors import RecordingError
from shared.events import Trade
from shared.recordings import parquet
from tests import samples

START_US = samples.START_US
BITCOIN = [samples.trade(n, at_us=START_US + n * 1_000_000) for n in range(100)]
ETHER = [samples.trade(n, symbol="ETH-USDT", at_us=START_US + n * 1_000_000) for n in range(100)]


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "two.parquet"
    pq.write_table(pa.Table.from_batches([parquet.to_batch(BITCOIN + ETHER)]), path)
    return path


def found(
    path: Path, *, market: str = "BTC-USDT", exchange: str | None = None, after_s: int = 50
) -> list[Trade]:
    batches = trades_of([path], market=market, exchange=exchange, at_us=START_US + after_s * 1_000_000)
    return [trade for batch in with_progress(batches, until_us=START_US) for trade in batch]


def test_only_the_market_asked_for_is_judged(recording: Path) -> None:
    assert found(recording) == BITCOIN
    assert found(recording, market="ETH-USDT", exchange="binance") == ETHER


@pytest.mark.parametrize(
    ("market", "exchange", "after_s", "said"),
    [
        ("POL-USDT", None, 50, "no trade of POL-USDT; there is BTC-USDT, ETH-USDT"),
        ("BTC-USDT", "kraken", 50, "no trade of BTC-USDT on kraken; there is binance"),
        ("BTC-USDT", None, -1, "begins at .*, after"),
        ("BTC-USDT", None, 500, "ends at .*, before"),
    ],
)
def test_a_wrong_question_is_answered(
    recording: Path, market: str, exchange: str | None, after_s: int, said: str
) -> None:
    with pytest.raises(RecordingError, match=said):
        found(recording, market=market, exchange=exchange, after_s=after_s)


def test_shortly_after_the_end_is_still_within(recording: Path) -> None:
    assert len(found(recording, after_s=300)) == 100


def test_venues_are_not_mixed(tmp_path: Path) -> None:
    header = "exchange,symbol,timestamp,side,price,amount\n"
    for venue in ("coinbase", "gemini"):
        rows = f"{venue},BTC-USDT,{START_US},buy,1.0,1.0\n"
        (tmp_path / f"{venue}.csv").write_text(header + rows, encoding="utf-8")
    both = sorted(tmp_path.glob("*.csv"))
    with pytest.raises(RecordingError, match="is on coinbase, gemini; choose with --exchange"):
        list(trades_of(both, market="BTC-USDT", exchange=None, at_us=START_US))
    [[trade]] = trades_of(both, market="BTC-USDT", exchange="gemini", at_us=START_US)
    assert trade.exchange == "gemini"


def test_an_empty_recording_says_so(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="there is nothing"):
        list(trades_of([tmp_path], market="BTC-USDT", exchange=None, at_us=START_US))
