"""Files of Binance's public archive, spot and futures, before and after the change to microseconds."""

import zipfile
from pathlib import Path

import pytest

from shared.errors import RecordingError
from shared.recordings.archive import read_trades

AGG_TRADE = "184359103,122335.79000000,0.00084000,243254795,243254804,1759536000061015,False,True\n"
FUTURES = (
    "agg_trade_id,price,quantity,first_trade_id,last_trade_id,transact_time,is_buyer_maker\n"
    "5,122335.79,0.5,1,2,1759536000061,true\n"
)
TRADE = "77,0.23610000,47.80000000,11.28558000,1704067200123,True,True\n"


def zipped(tmp_path: Path, name: str, content: str) -> Path:
    path = tmp_path / f"{name}.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{name}.csv", content)
    return path


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        (
            "BTCUSDC-aggTrades-2025-10-04",
            AGG_TRADE,
            ("BTC-USDC", 184_359_103, 122_335.79, 0.000_84, False, 1_759_536_000_061_015),
        ),
        (
            "BTCUSDT-aggTrades-2025-10",
            FUTURES,
            ("BTC-USDT", 5, 122_335.79, 0.5, True, 1_759_536_000_061_000),
        ),
        ("POLUSDT-trades-2024-01-01", TRADE, ("POL-USDT", 77, 0.2361, 47.8, True, 1_704_067_200_123_000)),
    ],
)
def test_every_kind_of_file(tmp_path: Path, name: str, content: str, expected: tuple[object, ...]) -> None:
    [trade] = read_trades(zipped(tmp_path, name, content))
    assert trade.exchange == "binance"
    assert (
        trade.symbol,
        trade.trade_id,
        trade.price,
        trade.quantity,
        trade.is_buyer_maker,
        trade.event_time_us,
    ) == expected
    assert trade.received_time_us == trade.event_time_us


def test_an_unpacked_file(tmp_path: Path) -> None:
    path = tmp_path / "BTCUSDC-aggTrades-2025-10-04.csv"
    path.write_text(AGG_TRADE * 3, encoding="utf-8")
    assert [trade.trade_id for trade in read_trades(path)] == [184_359_103] * 3


def test_an_empty_file_holds_no_trades(tmp_path: Path) -> None:
    assert list(read_trades(zipped(tmp_path, "BTCUSDC-aggTrades-2025-10-04", ""))) == []


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("BTCUSDT-klines-2025-10-04", AGG_TRADE, "is no name of the archive"),
        ("BTCUSDC-aggTrades-2025-10-04", "1,2,3\n", "rows have 3 columns"),
        ("BTCUSDC-aggTrades-2025-10-04", AGG_TRADE + AGG_TRADE.replace("0.00084000", "many"), "many"),
    ],
)
def test_a_file_that_is_something_else_is_refused(tmp_path: Path, name: str, content: str, said: str) -> None:
    with pytest.raises(RecordingError, match=said):
        list(read_trades(zipped(tmp_path, name, content)))


def test_a_zip_of_several_files_is_refused(tmp_path: Path) -> None:
    path = zipped(tmp_path, "BTCUSDC-aggTrades-2025-10-04", AGG_TRADE)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("BTCUSDC-aggTrades-2025-10-05.csv", AGG_TRADE)
    with pytest.raises(RecordingError, match="holds 2 CSV files"):
        list(read_trades(path))
