"""Keep when a detector in quarantine is tried again, and that it was released."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns; what is stored tells beginnings only."""
    op.add_column(
        "quarantines", sa.Column("released", sa.Boolean(), nullable=False, server_default=sa.false())
    )
    op.add_column("quarantines", sa.Column("until_us", sa.BigInteger(), nullable=False, server_default="0"))


def downgrade() -> None:
    """Drop the columns."""
    op.drop_column("quarantines", "until_us")
    op.drop_column("quarantines", "released")
