from dashboard.notices import notice_grid
from dashboard.state import Limits, State
from shared.clock import MICROSECONDS_PER_SECOND as US
from shared.events import Alert, AlertState, Quarantine, Severity, TapeGap

NOW_US = 1_760_000_000 * US


def test_notices_tell_alerts_gaps_and_quarantines_latest_first() -> None:
    sent = Alert(
        alert_id="a",
        anomaly_id="x",
        symbol="BTC-USDT",
        kind="flash_crash",
        severity=Severity.HIGH,
        state=AlertState.FIRING,
        channels=["slack"],
        detail="delivered",
        time_us=NOW_US,
    )
    gap = TapeGap(
        exchange="binance",
        symbol="SOL-USDT",
        first_missing_id=1,
        last_missing_id=1_200,
        reason="HTTP 418",
        detected_time_us=NOW_US - US,
    )
    stopped = Quarantine(
        symbol="ETH-USDT",
        detector="zscore",
        fingerprint="f",
        error="ZeroDivisionError",
        event_time_us=NOW_US - 2 * US,
        trade_id=1,
    )
    state = State(Limits(history_s=900))
    state.apply([stopped, gap, sent])
    grid = notice_grid(state.view())
    assert [row[1:] for row in ([cell.text for cell in row.cells] for row in grid.rows)] == [
        ["alert firing", "BTC-USDT", "flash crash: slack"],
        ["tape gap", "SOL-USDT", "1,200 trades missing: HTTP 418"],
        ["quarantine", "ETH-USDT", "zscore: ZeroDivisionError"],
    ]
    assert len({row.row_id for row in grid.rows}) == 3
