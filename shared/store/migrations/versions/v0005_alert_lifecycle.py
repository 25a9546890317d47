"""Keep the life cycle of alerts: its memory, notifications of whole incidents, and more about each change."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_KEY = "pk_deliveries"


def upgrade() -> None:
    """Add the memory; let several notifications of one anomaly be told on one channel."""
    op.create_table(
        "lifecycle",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_lifecycle"),
    )
    with op.batch_alter_table("alerts") as alerts:
        for name in ("exchange", "fingerprint", "incident_id", "author"):
            alerts.add_column(sa.Column(name, sa.Text(), nullable=False, server_default=sa.text("''")))
        alerts.add_column(sa.Column("level", sa.Integer(), nullable=False, server_default="0"))
        alerts.add_column(sa.Column("until_us", sa.BigInteger(), nullable=False, server_default="0"))
    with op.batch_alter_table("deliveries") as deliveries:
        for name in ("notification_id", "incident_id"):
            deliveries.add_column(sa.Column(name, sa.Text(), nullable=False, server_default=sa.text("''")))
        deliveries.add_column(sa.Column("sequence", sa.BigInteger(), nullable=False, server_default="1"))
        deliveries.add_column(sa.Column("rings", sa.Boolean(), nullable=False, server_default=sa.true()))
    # What was decided about anomalies one by one goes on under their ids.
    op.execute("UPDATE deliveries SET notification_id = anomaly_id, incident_id = alert_id")
    with op.batch_alter_table("deliveries") as deliveries:
        deliveries.drop_constraint(_KEY, type_="primary")
        deliveries.create_primary_key(_KEY, ["notification_id", "channel"])
    op.create_index("ix_deliveries_anomaly_id", "deliveries", ["anomaly_id"])
    op.create_index(
        "ix_deliveries_incident_id_channel_sequence", "deliveries", ["incident_id", "channel", "sequence"]
    )


def downgrade() -> None:
    """Take it all back; of several notifications of one anomaly on one channel, the first is kept."""
    op.drop_index("ix_deliveries_incident_id_channel_sequence", "deliveries")
    op.drop_index("ix_deliveries_anomaly_id", "deliveries")
    op.execute(
        "DELETE FROM deliveries WHERE EXISTS (SELECT 1 FROM deliveries AS other WHERE "
        "other.anomaly_id = deliveries.anomaly_id AND other.channel = deliveries.channel "
        "AND other.notification_id < deliveries.notification_id)"
    )
    with op.batch_alter_table("deliveries") as deliveries:
        deliveries.drop_constraint(_KEY, type_="primary")
        deliveries.create_primary_key(_KEY, ["anomaly_id", "channel"])
    with op.batch_alter_table("deliveries") as deliveries:
        for name in ("notification_id", "incident_id", "sequence", "rings"):
            deliveries.drop_column(name)
    with op.batch_alter_table("alerts") as alerts:
        for name in ("exchange", "fingerprint", "incident_id", "author", "level", "until_us"):
            alerts.drop_column(name)
    op.drop_table("lifecycle")
