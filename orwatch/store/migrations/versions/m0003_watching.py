"""What is watched: the layers of each key's limits, budgets of one's own, and alerts."""

import sqlalchemy as sa
from alembic import op

revision = "3"
down_revision = "2"


def upgrade() -> None:
    """Add the columns of what OpenRouter reports, and the two tables."""
    for table, name, kind in (
        ("api_keys", "is_byok_limited", sa.Boolean()),
        ("api_keys", "layers", sa.Text()),
        ("api_keys", "layers_read_at", sa.BigInteger()),
        ("accounts", "workspace_budgets", sa.Text()),
        ("accounts", "workspace_budgets_read_at", sa.BigInteger()),
        ("model_names", "retires_on", sa.Integer()),
        ("ledger_state", "watched_since", sa.BigInteger()),
        ("ledger_state", "models_read_at", sa.BigInteger()),
    ):
        op.add_column(table, sa.Column(name, kind))
    op.create_table(
        "budgets",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("name", sa.Text(), nullable=False, unique=True),
        sa.Column("limit_nano", sa.BigInteger(), nullable=False),
        sa.Column("per", sa.Text(), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("warn_percent", sa.Text(), nullable=False),
        sa.Column("with_byok", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
    )
    op.create_table(
        "alerts",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("rule", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("time_window", sa.Text(), nullable=False),
        sa.Column("threshold", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("summary", sa.Text(), nullable=False),
        sa.Column("figures", sa.Text(), nullable=False),
        sa.Column("raised_at", sa.BigInteger(), nullable=False),
        sa.Column("sent_at", sa.BigInteger()),
        sa.Column("recovered_at", sa.BigInteger()),
        sa.Column("recovery", sa.Text()),
        sa.Column("recovery_sent_at", sa.BigInteger()),
        sa.Column("ended_at", sa.BigInteger()),
        sa.Column("acknowledged_at", sa.BigInteger()),
        sa.Column("tries", sa.Integer(), nullable=False, server_default=sa.text("0")),
        sa.Column("tried_at", sa.BigInteger()),
        sa.Column("send_error", sa.Text()),
        sa.UniqueConstraint("rule", "subject", "time_window", "threshold"),
    )
