"""Keep what people say about anomalies: real, false, or unsure."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table; nobody has said anything yet."""
    op.create_table(
        "labels",
        sa.Column("episode_id", sa.Text(), nullable=False),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("verdict", sa.Text(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("time_us", sa.BigInteger(), nullable=False),
        sa.Column("symbol", sa.Text(), nullable=False),
        sa.Column("exchange", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("detector", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("start_us", sa.BigInteger(), nullable=False),
        sa.Column("end_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("episode_id", "author", name=op.f("pk_labels")),
    )
    op.create_index(op.f("ix_labels_symbol_start_us"), "labels", ["symbol", "start_us"])
    op.create_index(op.f("ix_labels_time_us"), "labels", ["time_us"])


def downgrade() -> None:
    """Drop the table."""
    op.drop_table("labels")
