"""Make the first tables: what is on the topics, and the alerter's outbox.

A revision is never changed after a release; it repeats the columns instead of importing `tables.py`, which
describes the newest schema and not this one.
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make every table and index."""
    _make_trades()
    _make_anomalies()
    _make_faults()
    _make_alerts()


def downgrade() -> None:
    """Drop every table, and with it what it holds."""
    for table in (
        "trades",
        "anomalies",
        "tape_gaps",
        "quarantines",
        "dead_letters",
        "alerts",
        "deliveries",
    ):
        op.drop_table(table)


def _make_trades() -> None:
    op.create_table(
        "trades",
        sa.Column("exchange", sa.Text(), nullable=False),
        sa.Column("symbol", sa.Text(), nullable=False),
        sa.Column("trade_id", sa.BigInteger(), nullable=False),
        sa.Column("price", sa.Double(), nullable=False),
        sa.Column("quantity", sa.Double(), nullable=False),
        sa.Column("is_buyer_maker", sa.Boolean(), nullable=False),
        sa.Column("event_time_us", sa.BigInteger(), nullable=False),
        sa.Column("received_time_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("exchange", "symbol", "trade_id", name="pk_trades"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_trades_symbol_event_time_us", "trades", ["symbol", "event_time_us"])


def _make_anomalies() -> None:
    op.create_table(
        "anomalies",
        sa.Column("anomaly_id", sa.Text(), nullable=False),
        sa.Column("symbol", sa.Text(), nullable=False),
        sa.Column("exchange", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("detector", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("severity", sa.Text(), nullable=False),
        sa.Column("score", sa.Double(), nullable=False),
        sa.Column("rarity", sa.Double(), nullable=True),
        sa.Column("threshold", sa.Double(), nullable=False),
        sa.Column("threshold_on", sa.Text(), nullable=False),
        sa.Column("event_time_us", sa.BigInteger(), nullable=False),
        sa.Column("trade_id", sa.BigInteger(), nullable=False),
        sa.Column("price", sa.Double(), nullable=False),
        sa.Column("window", sa.JSON(), nullable=False),
        sa.Column("features", sa.JSON(), nullable=False),
        sa.Column("contributions", sa.JSON(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("episode", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("anomaly_id", name="pk_anomalies"),
    )
    op.create_index("ix_anomalies_event_time_us", "anomalies", ["event_time_us"])
    for column in ("symbol", "kind", "severity"):
        op.create_index(f"ix_anomalies_{column}_event_time_us", "anomalies", [column, "event_time_us"])


def _make_faults() -> None:
    op.create_table(
        "tape_gaps",
        sa.Column("exchange", sa.Text(), nullable=False),
        sa.Column("symbol", sa.Text(), nullable=False),
        sa.Column("first_missing_id", sa.BigInteger(), nullable=False),
        sa.Column("last_missing_id", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("detected_time_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint(
            "exchange", "symbol", "first_missing_id", "last_missing_id", name="pk_tape_gaps"
        ),
    )
    op.create_table(
        "quarantines",
        sa.Column("detector", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("symbol", sa.Text(), nullable=False),
        sa.Column("trade_id", sa.BigInteger(), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column("event_time_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("detector", "fingerprint", "symbol", "trade_id", name="pk_quarantines"),
    )
    op.create_table(
        "dead_letters",
        sa.Column("dead_letter_id", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("offset", sa.BigInteger(), nullable=False),
        sa.Column("key", sa.LargeBinary(), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("time_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("dead_letter_id", name="pk_dead_letters"),
    )
    op.create_index("ix_dead_letters_time_us", "dead_letters", ["time_us"])


def _make_alerts() -> None:
    op.create_table(
        "alerts",
        sa.Column("alert_id", sa.Text(), nullable=False),
        sa.Column("anomaly_id", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("time_us", sa.BigInteger(), nullable=False),
        sa.Column("symbol", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("severity", sa.Text(), nullable=False),
        sa.Column("channels", sa.JSON(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("alert_id", "anomaly_id", "state", "time_us", name="pk_alerts"),
    )
    op.create_index("ix_alerts_symbol_time_us", "alerts", ["symbol", "time_us"])
    op.create_index("ix_alerts_anomaly_id", "alerts", ["anomaly_id"])
    op.create_table(
        "deliveries",
        sa.Column("anomaly_id", sa.Text(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("alert_id", sa.Text(), nullable=False),
        sa.Column("symbol", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("severity", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_attempt_us", sa.BigInteger(), nullable=False),
        sa.Column("sent_us", sa.BigInteger(), nullable=True),
        sa.Column("message_ref", sa.Text(), nullable=True),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("anomaly_id", "channel", name="pk_deliveries"),
    )
    op.create_index("ix_deliveries_state_next_attempt_us", "deliveries", ["state", "next_attempt_us"])
    op.create_index(
        "ix_deliveries_symbol_kind_channel_created_us",
        "deliveries",
        ["symbol", "kind", "channel", "created_us"],
    )
    op.create_index(
        "ix_deliveries_channel_state_created_us", "deliveries", ["channel", "state", "created_us"]
    )
    op.create_index("ix_deliveries_alert_id", "deliveries", ["alert_id"])
