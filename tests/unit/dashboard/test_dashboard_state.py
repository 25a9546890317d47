import msgspec
from hypothesis import given
from hypothesis import strategies as st

from dashboard.state import Limits, State
from shared.clock import MICROSECONDS_PER_SECOND as US
from shared.events import Alert, AlertState, EpisodePhase, MarketContext, Quarantine, Severity, TapeGap
from tests.data.dashboard_scene import make_anomaly, make_status, make_trade

BEGIN_US = 1_760_000_000 * US
LIMITS = Limits(history_s=60, markets=3, bars=200, episodes=6, episodes_per_market=4, workers=3, alerts=5)


def state_after(*events: msgspec.Struct, limits: Limits = LIMITS) -> State:
    state = State(limits)
    state.apply(events)
    return state


def alert(anomaly_id: str, *, state: AlertState = AlertState.FIRING, time_us: int = BEGIN_US) -> Alert:
    return Alert(
        alert_id="a",
        anomaly_id=anomaly_id,
        symbol="BTC-USDT",
        kind="whale",
        severity=Severity.HIGH,
        state=state,
        channels=["telegram"],
        detail="",
        time_us=time_us,
    )


def test_nothing_is_known_before_the_first_event() -> None:
    view = State(LIMITS).view()
    assert view.now_us is None
    assert not view.markets
    assert view.pace.skew_s is None


def test_now_is_the_latest_event_time_not_ours() -> None:
    view = state_after(
        make_trade("BTC-USDT", 10.0, event_us=BEGIN_US),
        make_trade("ETH-USDT", 1.0, event_us=BEGIN_US + 5 * US),
    ).view()
    assert view.now_us == BEGIN_US + 5 * US
    assert list(view.markets) == ["BTC-USDT", "ETH-USDT"]


def test_a_market_of_an_earlier_run_does_not_hold_the_clock() -> None:
    old = make_trade("OLD-USDT", 1.0, event_us=BEGIN_US + 9_000 * US, received_us=BEGIN_US)
    new = make_trade("BTC-USDT", 1.0, event_us=BEGIN_US + 300 * US, received_us=BEGIN_US + 300 * US)
    assert state_after(old, new).view().now_us == BEGIN_US + 300 * US


def test_the_previous_price_is_the_last_different_one() -> None:
    prices = (10.0, 11.0, 11.0)
    view = state_after(*(make_trade("BTC-USDT", price, event_us=BEGIN_US) for price in prices)).view()
    market = view.markets["BTC-USDT"]
    assert (market.last_price, market.previous_price) == (11.0, 10.0)


def test_the_market_silent_for_longest_is_forgotten_first() -> None:
    symbols = ("A-USDT", "B-USDT", "C-USDT", "A-USDT", "D-USDT")
    view = state_after(*(make_trade(symbol, 1.0, event_us=BEGIN_US) for symbol in symbols)).view()
    assert set(view.markets) == {"A-USDT", "C-USDT", "D-USDT"}


def test_events_of_an_episode_are_one_episode() -> None:
    opened = make_anomaly("BTC-USDT", event_us=BEGIN_US, price=10.0, severity=Severity.HIGH)
    closed = make_anomaly(
        "BTC-USDT",
        event_us=BEGIN_US + 9 * US,
        price=12.0,
        severity=Severity.LOW,
        phase=EpisodePhase.CLOSED,
        episode_id=opened.anomaly_id,
        trade_id=2,
    )
    # The later event may come first: markets and partitions are read side by side.
    for order in ((opened, closed), (closed, opened)):
        [episode] = state_after(*order).view().episodes
        assert episode.first is opened
        assert episode.latest is closed
        assert episode.worst is opened
        # The closing event sums up; what was strange stands in the one before.
        assert episode.why is opened


def test_what_the_other_markets_did_stays_with_the_episode() -> None:
    opened = make_anomaly("BTC-USDT", event_us=BEGIN_US, price=10.0)
    context = MarketContext(
        window_s=60.0,
        market_return_pct=-3.1,
        moved_with=31,
        markets=37,
        is_market_wide=True,
        sentence="With the market.",
    )
    informed = msgspec.structs.replace(
        opened, anomaly_id="with-context", context=context, reason=f"{opened.reason} With the market."
    )
    informed = msgspec.structs.replace(
        informed, episode=msgspec.structs.replace(opened.episode, phase=EpisodePhase.UPDATED)
    )
    [episode] = state_after(opened, informed).view().episodes
    assert episode.reason == informed.reason
    # What its detector tells later knows nothing of the others.
    later = msgspec.structs.replace(informed, context=None, event_time_us=BEGIN_US + US, reason="It grew.")
    [episode] = state_after(opened, informed, later).view().episodes
    assert episode.reason == "It grew. With the market."


def test_an_episode_of_which_only_the_end_is_known_is_told_by_its_end() -> None:
    closed = make_anomaly("BTC-USDT", event_us=BEGIN_US, price=10.0, phase=EpisodePhase.CLOSED)
    [episode] = state_after(closed).view().episodes
    assert episode.why is closed


def test_an_anomaly_seen_twice_changes_nothing() -> None:
    found = make_anomaly("BTC-USDT", event_us=BEGIN_US, price=10.0)
    assert state_after(found, found).view().episodes == state_after(found).view().episodes


def test_an_alert_finds_its_episode_also_when_it_comes_first() -> None:
    found = make_anomaly("BTC-USDT", event_us=BEGIN_US, price=10.0)
    told = alert(found.anomaly_id)
    for order in ((found, told), (told, found)):
        [episode] = state_after(*order).view().episodes
        assert episode.alert is told


def test_gaps_count_the_missing_trades_of_their_market() -> None:
    gap = TapeGap(
        exchange="binance",
        symbol="BTC-USDT",
        first_missing_id=10,
        last_missing_id=21,
        reason="HTTP 418",
        detected_time_us=BEGIN_US,
    )
    view = state_after(make_trade("BTC-USDT", 1.0, event_us=BEGIN_US), gap, gap).view()
    assert view.markets["BTC-USDT"].missing_trades == 24
    assert len(view.gaps) == 2


def test_workers_keep_their_latest_sign_of_life_and_some_before() -> None:
    first, second = (make_status("detector", time_us=BEGIN_US + at * US) for at in (0, 2))
    [worker] = state_after(first, second).view().workers
    assert worker.latest is second
    assert worker.earlier == (first,)


def test_speed_is_event_time_per_time_of_ours() -> None:
    trades = (
        make_trade("BTC-USDT", 1.0, event_us=BEGIN_US + 10 * at * US, received_us=BEGIN_US + at * US)
        for at in range(10)
    )
    pace = state_after(*trades).view().pace
    assert pace.speed == 10.0
    assert pace.skew_s == -81.0


def test_a_view_does_not_change_afterwards() -> None:
    state = state_after(make_trade("BTC-USDT", 10.0, event_us=BEGIN_US))
    before = state.view()
    state.apply([make_trade("BTC-USDT", 99.0, event_us=BEGIN_US), alert("x")])
    assert before.markets["BTC-USDT"].last_price == 10.0
    assert before.markets["BTC-USDT"].bars.close.tolist() == [10.0]
    assert before.trades == 1
    assert not before.alerts


def test_of_many_episodes_the_latest_are_kept() -> None:
    found = [
        make_anomaly(symbol, event_us=BEGIN_US + at * US, price=1.0, trade_id=at)
        for symbol in ("A-USDT", "B-USDT")
        for at in range(10)
    ]
    view = state_after(make_trade("B-USDT", 1.0, event_us=BEGIN_US), *found).view()
    assert len(view.episodes) == LIMITS.episodes
    kept = [episode.first.trade_id for episode in view.markets["B-USDT"].episodes]
    assert kept == [9, 8, 7, 6]


symbols = st.sampled_from(["A-USDT", "B-USDT", "C-USDT", "D-USDT", "<b>E</b>"])
times = st.integers(0, 4_000).map(lambda tenths: BEGIN_US + tenths * US // 10)
numbers = st.integers(0, 30)


@st.composite
def any_event(draw: st.DrawFn) -> msgspec.Struct:
    symbol, time_us, number = draw(symbols), draw(times), draw(numbers)
    match draw(st.integers(0, 5)):
        case 0:
            phase = draw(st.sampled_from(EpisodePhase))
            return make_anomaly(
                symbol, event_us=time_us, price=1.0, phase=phase, trade_id=number, episode_id=str(number % 9)
            )
        case 1:
            return make_status(f"worker-{number % 3}", time_us=time_us, instance=str(number))
        case 2:
            return alert(str(number), state=draw(st.sampled_from(AlertState)), time_us=time_us)
        case 3:
            return TapeGap(
                exchange="binance",
                symbol=symbol,
                first_missing_id=number,
                last_missing_id=draw(numbers),
                reason="",
                detected_time_us=time_us,
            )
        case 4:
            return Quarantine(
                symbol=symbol,
                detector="d",
                fingerprint="f",
                error="e",
                event_time_us=time_us,
                trade_id=number,
            )
        case _:
            return make_trade(symbol, 1.0 + number, event_us=time_us, trade_id=number)


@given(st.lists(any_event(), max_size=200))
def test_memory_is_bounded_under_any_events(events: list[msgspec.Struct]) -> None:
    state = state_after(*events)
    held = state.held()
    assert held["markets"] <= LIMITS.markets
    assert held["bar_capacity"] <= LIMITS.bars + LIMITS.markets * 64
    assert held["bars"] <= LIMITS.markets * LIMITS.history_s
    assert held["episodes"] <= LIMITS.episodes
    assert held["workers"] <= LIMITS.workers
    assert max(held[kind] for kind in ("alerts", "gaps", "quarantines")) <= LIMITS.alerts
    assert held["missing_trades"] <= LIMITS.markets
    view = state.view()
    for market in view.markets.values():
        assert len(market.episodes) <= LIMITS.episodes_per_market
    assert len(view.episodes) == held["episodes"]
