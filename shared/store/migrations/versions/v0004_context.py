"""Keep what the other markets did when an episode opened."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; of what is stored nothing is known."""
    op.add_column("anomalies", sa.Column("context", sa.JSON(none_as_null=True), nullable=True))


def downgrade() -> None:
    """Drop the column."""
    op.drop_column("anomalies", "context")
