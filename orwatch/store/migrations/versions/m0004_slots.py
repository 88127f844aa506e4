"""The slot of the schedule that a run stands for."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add a column; runs of before stand for the slot in which they began."""
    op.add_column("job_runs", sa.Column("slot", sa.BigInteger))
    op.execute(sa.text("UPDATE job_runs SET slot = started_at"))
