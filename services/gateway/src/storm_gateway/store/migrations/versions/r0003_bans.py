"""Users may be banned from the whole server, by its administrators (store/bans.py)."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("users", sa.Column("banned_at", sa.BigInteger))
    banned = sa.text("banned_at IS NOT NULL")
    op.create_index(
        "users_banned", "users", ["banned_at"], sqlite_where=banned, postgresql_where=banned
    )


def downgrade() -> None:
    op.drop_index("users_banned", "users")
    op.drop_column("users", "banned_at")
