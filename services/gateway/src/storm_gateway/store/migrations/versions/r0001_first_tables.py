"""The first tables, and the channel ``general`` that every new database has."""

import time

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

Text = sa.Text().with_variant(postgresql.TEXT(collation="C"), "postgresql")
Key = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    op.create_table(
        "users",
        sa.Column("id", Text, primary_key=True),
        sa.Column("display_name", Text, nullable=False),
        sa.Column("password_hash", Text),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("admin", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("deleted_at", sa.BigInteger),
    )
    channels = op.create_table(
        "channels",
        sa.Column("id", Key, primary_key=True),
        sa.Column("name", Text, nullable=False),
        sa.Column("topic", Text, nullable=False),
        sa.Column("visibility", Text, nullable=False),
        sa.Column("created_by", Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("deleted_at", sa.BigInteger),
        sa.Column("head", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("member_count", sa.Integer, nullable=False, server_default="0"),
        sa.Column("user_low", Text),
        sa.Column("user_high", Text),
    )
    named = sa.text("deleted_at IS NULL AND visibility <> 'direct'")
    op.create_index(
        "channels_name",
        "channels",
        ["name"],
        unique=True,
        sqlite_where=named,
        postgresql_where=named,
    )
    paired = sa.text("user_low IS NOT NULL")
    op.create_index(
        "channels_direct",
        "channels",
        ["user_low", "user_high"],
        unique=True,
        sqlite_where=paired,
        postgresql_where=paired,
    )
    op.create_table(
        "members",
        sa.Column("channel_id", sa.BigInteger, nullable=False),
        sa.Column("user_id", Text, nullable=False),
        sa.Column("standing", Text, nullable=False),
        sa.Column("joined_at", sa.BigInteger, nullable=False),
        sa.Column("read_seq", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("channel_id", "user_id"),
        sqlite_with_rowid=False,
    )
    op.create_index("members_user", "members", ["user_id"])
    op.create_table(
        "messages",
        sa.Column("id", Key, primary_key=True),
        sa.Column("channel_id", sa.BigInteger, nullable=False),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.Column("user_id", Text, nullable=False),
        sa.Column("payload", Text, nullable=False),
        sa.Column("sent_at", sa.BigInteger, nullable=False),
        sa.Column("ref", Text),
        sa.Column("edited_at", sa.BigInteger),
        sa.Column("deleted_at", sa.BigInteger),
        sa.Column("deleted_seq", sa.BigInteger),
    )
    op.create_index("messages_seq", "messages", ["channel_id", "seq"], unique=True)
    given = sa.text("ref IS NOT NULL")
    op.create_index(
        "messages_ref",
        "messages",
        ["channel_id", "user_id", "ref"],
        unique=True,
        sqlite_where=given,
        postgresql_where=given,
    )
    op.create_table(
        "changes",
        sa.Column("channel_id", sa.BigInteger, nullable=False),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.Column("kind", Text, nullable=False),
        sa.Column("actor", Text, nullable=False),
        sa.Column("subject", Text),
        sa.Column("message_id", sa.BigInteger),
        sa.Column("data", Text),
        sa.Column("sent_at", sa.BigInteger, nullable=False),
        sa.Column("ref", Text),
        sa.PrimaryKeyConstraint("channel_id", "seq"),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "changes_ref",
        "changes",
        ["channel_id", "actor", "ref"],
        unique=True,
        sqlite_where=given,
        postgresql_where=given,
    )
    op.create_table(
        "reactions",
        sa.Column("message_id", sa.BigInteger, nullable=False),
        sa.Column("emoji", Text, nullable=False),
        sa.Column("user_id", Text, nullable=False),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("message_id", "emoji", "user_id"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "refresh_tokens",
        sa.Column("hash", sa.LargeBinary, primary_key=True),
        sa.Column("family", Text, nullable=False),
        sa.Column("user_id", Text, nullable=False),
        sa.Column("expires_at", sa.Float, nullable=False),
        sa.Column("used_at", sa.Float),
    )
    op.create_index("refresh_tokens_family", "refresh_tokens", ["family"])
    op.create_index("refresh_tokens_user", "refresh_tokens", ["user_id"])
    op.create_index("refresh_tokens_expiry", "refresh_tokens", ["expires_at"])
    op.create_table(
        "revocations",
        sa.Column("kind", Text, nullable=False),
        sa.Column("name", Text, nullable=False),
        sa.Column("at", sa.Float, nullable=False),
        sa.PrimaryKeyConstraint("kind", "name"),
        sqlite_with_rowid=False,
    )
    op.bulk_insert(
        channels,
        [
            {
                "id": 1,
                "name": "general",
                "topic": "",
                "visibility": "public",
                "created_by": "",
                "created_at": time.time_ns() // 1_000_000,
            }
        ],
    )
    if op.get_bind().dialect.name == "postgresql":
        # The row above brought its own id: the next one is 2.
        op.execute("SELECT setval('channels_id_seq', 1)")


def downgrade() -> None:
    for table in (
        "revocations",
        "refresh_tokens",
        "reactions",
        "changes",
        "messages",
        "members",
        "channels",
        "users",
    ):
        op.drop_table(table)
