"""Who was deleted, and what was revoked lately, is found at once, however much there is: each node
asks every 5 s.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    deleted = sa.text("deleted_at IS NOT NULL")
    op.create_index(
        "users_deleted", "users", ["deleted_at"], sqlite_where=deleted, postgresql_where=deleted
    )
    op.create_index("revocations_at", "revocations", ["at"])


def downgrade() -> None:
    op.drop_index("revocations_at", "revocations")
    op.drop_index("users_deleted", "users")
