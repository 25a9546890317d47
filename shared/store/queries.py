"""What is read from the store: anomalies, trades, gaps, and how much there is of everything."""

from typing import Final, NamedTuple

import msgspec
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from shared.events import Anomaly, Severity, TapeGap, Trade
from shared.store.tables import AnomalyRow, Base, TapeGapRow, TradeRow

DEFAULT_LIMIT: Final = 100


class MarketSummary(NamedTuple):
    """What is stored of one venue's market: the tape is whole where `trades == last_id - first_id + 1`."""

    exchange: str
    symbol: str
    trades: int
    first_id: int
    last_id: int
    first_us: int
    last_us: int


def anomaly(session: Session, anomaly_id: str) -> Anomaly | None:
    """Return the anomaly with this id, or None."""
    row = session.get(AnomalyRow, anomaly_id)
    return None if row is None else _anomaly(row)


def anomalies(
    session: Session,
    *,
    symbol: str | None = None,
    kind: str | None = None,
    min_severity: Severity = Severity.LOW,
    since_us: int | None = None,
    until_us: int | None = None,
    limit: int | None = DEFAULT_LIMIT,
) -> list[Anomaly]:
    """Return anomalies, the latest first.

    Args:
        session: an open session.
        symbol: of this market only.
        kind: of this kind only.
        min_severity: lower ones are left out.
        since_us: event time from which on, included.
        until_us: event time up to which, not included.
        limit: not more than this many; None for all.
    """
    query = select(AnomalyRow)
    if symbol is not None:
        query = query.where(AnomalyRow.symbol == symbol)
    if kind is not None:
        query = query.where(AnomalyRow.kind == kind)
    if min_severity is not Severity.LOW:
        wanted = [severity.value for severity in Severity if severity.rank >= min_severity.rank]
        query = query.where(AnomalyRow.severity.in_(wanted))
    if since_us is not None:
        query = query.where(AnomalyRow.event_time_us >= since_us)
    if until_us is not None:
        query = query.where(AnomalyRow.event_time_us < until_us)
    # The id settles the order among anomalies of one instant, so that pages do not overlap.
    latest_first = query.order_by(AnomalyRow.event_time_us.desc(), AnomalyRow.anomaly_id).limit(limit)
    return [_anomaly(row) for row in session.scalars(latest_first)]


def trades(
    session: Session,
    *,
    symbol: str,
    exchange: str | None = None,
    since_us: int | None = None,
    until_us: int | None = None,
    limit: int | None = None,
) -> list[Trade]:
    """Return a market's trades in time order; times as in `anomalies`, all of the market by default."""
    # Columns and not mapped objects: a day of a market is a million of them.
    query = select(
        TradeRow.exchange,
        TradeRow.symbol,
        TradeRow.trade_id,
        TradeRow.price,
        TradeRow.quantity,
        TradeRow.is_buyer_maker,
        TradeRow.event_time_us,
        TradeRow.received_time_us,
    ).where(TradeRow.symbol == symbol)
    if exchange is not None:
        query = query.where(TradeRow.exchange == exchange)
    if since_us is not None:
        query = query.where(TradeRow.event_time_us >= since_us)
    if until_us is not None:
        query = query.where(TradeRow.event_time_us < until_us)
    in_order = query.order_by(TradeRow.event_time_us, TradeRow.exchange, TradeRow.trade_id).limit(limit)
    return [Trade(*row) for row in session.execute(in_order)]


def tape_gaps(session: Session, *, symbol: str | None = None) -> list[TapeGap]:
    """Return the gaps that could not be filled, by market and id."""
    query = select(TapeGapRow).order_by(TapeGapRow.exchange, TapeGapRow.symbol, TapeGapRow.first_missing_id)
    if symbol is not None:
        query = query.where(TapeGapRow.symbol == symbol)
    return [msgspec.convert(row, TapeGap, from_attributes=True) for row in session.scalars(query)]


def markets(session: Session) -> list[MarketSummary]:
    """Return what is stored of each venue's market."""
    query = (
        select(
            TradeRow.exchange,
            TradeRow.symbol,
            func.count(),
            func.min(TradeRow.trade_id),
            func.max(TradeRow.trade_id),
            func.min(TradeRow.event_time_us),
            func.max(TradeRow.event_time_us),
        )
        .group_by(TradeRow.exchange, TradeRow.symbol)
        .order_by(TradeRow.exchange, TradeRow.symbol)
    )
    return [MarketSummary(*row) for row in session.execute(query)]


def counts(session: Session) -> dict[str, int]:
    """Return the number of rows of every table. Counts them one by one: not for a page that refreshes."""
    return {
        table.name: session.execute(select(func.count()).select_from(table)).scalar_one()
        for table in Base.metadata.sorted_tables
    }


def _anomaly(row: AnomalyRow) -> Anomaly:
    return msgspec.convert(row, Anomaly, from_attributes=True)
