"""CSV tables of trades with a header, of Tardis.dev and of research data sets."""

import gzip
from pathlib import Path

import pytest

from shared.errors import RecordingError
from shared.events import Trade
from shared.recordings import read, tables

TARDIS = (
    "exchange,symbol,timestamp,local_timestamp,id,side,price,amount\n"
    "coinbase,POL-USD,1760054409498289,1760054409538296,3398106,buy,0.2363,7126.82\n"
    "coinbase,POL-USD,1760054413570653,1760054413610507,3398107,sell,0.2364,1.71\n"
)
RESEARCH = (
    "symbol,timestamp,datetime,side,price,amount,btc_volume\n"
    "ADX/BTC,1561309495124,2019-06-23T17:04:55.124Z,buy,1.348e-05,81.0,0.00109188\n"
)


def saved(tmp_path: Path, content: str) -> Path:
    path = tmp_path / "recorded.csv.gz"
    path.write_bytes(gzip.compress(content.encode()))
    return path


def test_every_column_is_read(tmp_path: Path) -> None:
    bought, sold = tables.read_trades(saved(tmp_path, TARDIS))
    assert bought == Trade(
        "coinbase",
        "POL-USD",
        3_398_106,
        0.2363,
        7_126.82,
        False,
        1_760_054_409_498_289,
        1_760_054_409_538_296,
    )
    assert (sold.trade_id, sold.is_buyer_maker) == (3_398_107, True)


def test_what_a_table_does_not_tell_is_filled_in(tmp_path: Path) -> None:
    [trade] = tables.read_trades(saved(tmp_path, RESEARCH))
    assert (trade.exchange, trade.symbol, trade.trade_id) == ("binance", "ADX-BTC", 1)
    assert trade.event_time_us == trade.received_time_us == 1_561_309_495_124_000


def test_the_reader_tells_it_from_the_archive_by_its_header(tmp_path: Path) -> None:
    [batch] = read([saved(tmp_path, TARDIS)])
    assert [trade.symbol for trade in batch] == ["POL-USD", "POL-USD"]


@pytest.mark.parametrize(
    ("wrong", "said"), [("buy,x", "x"), ("buy,", "double"), ("hold,0.2363", "hold"), ("buy,-0.2363", "price")]
)
def test_a_row_that_is_no_trade_is_refused(tmp_path: Path, wrong: str, said: str) -> None:
    path = saved(tmp_path, TARDIS.replace("buy,0.2363", wrong))
    with pytest.raises(RecordingError, match=said):
        list(read([path]))


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path, TARDIS * 50)
    path.write_bytes(path.read_bytes()[:-12])
    with pytest.raises(RecordingError):
        list(read([path]))
