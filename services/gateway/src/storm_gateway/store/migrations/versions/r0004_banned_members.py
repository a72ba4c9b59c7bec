"""Whether a channel has a banned member is found at once, however many members it has."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    banned = sa.text("standing = 'banned'")
    op.create_index(
        "members_banned", "members", ["channel_id"], sqlite_where=banned, postgresql_where=banned
    )


def downgrade() -> None:
    op.drop_index("members_banned", "members")
