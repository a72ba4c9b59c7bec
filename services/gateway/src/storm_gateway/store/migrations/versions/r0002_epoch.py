"""The database has an epoch: another one after a backup was restored (store/epoch.py)."""

import secrets

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

# As in r0001: order by code point, the same on every database.
Text = sa.Text().with_variant(postgresql.TEXT(collation="C"), "postgresql")


def upgrade() -> None:
    meta = op.create_table(
        "meta",
        sa.Column("key", Text, primary_key=True),
        sa.Column("value", Text, nullable=False),
    )
    op.bulk_insert(meta, [{"key": "epoch", "value": secrets.token_hex(8)}])


def downgrade() -> None:
    op.drop_table("meta")
