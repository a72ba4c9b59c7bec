"""The tables, once, for every database. Times are integers: milliseconds since 1970, UTC.

Each channel has one log. ``messages`` and ``changes`` share its numbers: together they hold every
``seq`` from 1 to ``channels.head`` exactly once.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    false,
    text,
)
from sqlalchemy import Text as AnyText
from sqlalchemy.dialects import postgresql

metadata = MetaData()

# SQLite gives row ids only to a column declared exactly INTEGER.
Key = BigInteger().with_variant(Integer, "sqlite")

# Ordered by code point everywhere: as SQLite does, whatever language a server was set up for.
Text = AnyText().with_variant(postgresql.TEXT(collation="C"), "postgresql")

users = Table(
    "users",
    metadata,
    Column("id", Text, primary_key=True),
    Column("display_name", Text, nullable=False),
    Column("password_hash", Text),
    Column("created_at", BigInteger, nullable=False),
    Column("admin", Boolean, nullable=False, server_default=false()),
    # The row of a deleted user stays: nobody else may take the name of old messages.
    Column("deleted_at", BigInteger),
    # Since when the user may not come in at all.
    Column("banned_at", BigInteger),
)
Index(
    "users_banned",
    users.c.banned_at,
    sqlite_where=text("banned_at IS NOT NULL"),
    postgresql_where=text("banned_at IS NOT NULL"),
)
Index(
    "users_deleted",
    users.c.deleted_at,
    sqlite_where=text("deleted_at IS NOT NULL"),
    postgresql_where=text("deleted_at IS NOT NULL"),
)

channels = Table(
    "channels",
    metadata,
    Column("id", Key, primary_key=True),
    Column("name", Text, nullable=False),
    Column("topic", Text, nullable=False),
    Column("visibility", Text, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("deleted_at", BigInteger),
    Column("head", BigInteger, nullable=False, server_default="0"),
    Column("member_count", Integer, nullable=False, server_default="0"),
    # The two users of a direct channel, in order of their ids.
    Column("user_low", Text),
    Column("user_high", Text),
)
Index(
    "channels_name",
    channels.c.name,
    unique=True,
    sqlite_where=text("deleted_at IS NULL AND visibility <> 'direct'"),
    postgresql_where=text("deleted_at IS NULL AND visibility <> 'direct'"),
)
Index(
    "channels_direct",
    channels.c.user_low,
    channels.c.user_high,
    unique=True,
    sqlite_where=text("user_low IS NOT NULL"),
    postgresql_where=text("user_low IS NOT NULL"),
)

members = Table(
    "members",
    metadata,
    Column("channel_id", BigInteger, nullable=False),
    Column("user_id", Text, nullable=False),
    Column("standing", Text, nullable=False),
    Column("joined_at", BigInteger, nullable=False),
    Column("read_seq", BigInteger, nullable=False),
    PrimaryKeyConstraint("channel_id", "user_id"),
    sqlite_with_rowid=False,
)
Index("members_user", members.c.user_id)
Index(
    "members_banned",
    members.c.channel_id,
    sqlite_where=text("standing = 'banned'"),
    postgresql_where=text("standing = 'banned'"),
)

messages = Table(
    "messages",
    metadata,
    Column("id", Key, primary_key=True),
    Column("channel_id", BigInteger, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("user_id", Text, nullable=False),
    Column("payload", Text, nullable=False),
    Column("sent_at", BigInteger, nullable=False),
    Column("ref", Text),
    Column("edited_at", BigInteger),
    Column("deleted_at", BigInteger),
    Column("deleted_seq", BigInteger),
)
Index("messages_seq", messages.c.channel_id, messages.c.seq, unique=True)
Index(
    "messages_ref",
    messages.c.channel_id,
    messages.c.user_id,
    messages.c.ref,
    unique=True,
    sqlite_where=text("ref IS NOT NULL"),
    postgresql_where=text("ref IS NOT NULL"),
)

changes = Table(
    "changes",
    metadata,
    Column("channel_id", BigInteger, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("kind", Text, nullable=False),
    # Who did it, and to whom (membership) it was done.
    Column("actor", Text, nullable=False),
    Column("subject", Text),
    Column("message_id", BigInteger),
    # What the kind needs besides: an emoji, a role, a reason, or JSON. Never a message's text.
    Column("data", Text),
    Column("sent_at", BigInteger, nullable=False),
    Column("ref", Text),
    PrimaryKeyConstraint("channel_id", "seq"),
    sqlite_with_rowid=False,
)
Index(
    "changes_ref",
    changes.c.channel_id,
    changes.c.actor,
    changes.c.ref,
    unique=True,
    sqlite_where=text("ref IS NOT NULL"),
    postgresql_where=text("ref IS NOT NULL"),
)

reactions = Table(
    "reactions",
    metadata,
    Column("message_id", BigInteger, nullable=False),
    Column("emoji", Text, nullable=False),
    Column("user_id", Text, nullable=False),
    Column("seq", BigInteger, nullable=False),
    PrimaryKeyConstraint("message_id", "emoji", "user_id"),
    sqlite_with_rowid=False,
)

refresh_tokens = Table(
    "refresh_tokens",
    metadata,
    Column("hash", LargeBinary, primary_key=True),
    Column("family", Text, nullable=False),
    Column("user_id", Text, nullable=False),
    Column("expires_at", Float, nullable=False),
    Column("used_at", Float),
)
Index("refresh_tokens_family", refresh_tokens.c.family)
Index("refresh_tokens_user", refresh_tokens.c.user_id)
Index("refresh_tokens_expiry", refresh_tokens.c.expires_at)

revocations = Table(
    "revocations",
    metadata,
    # 'family': a login; 'user': all tokens of a user that were issued before ``at``.
    Column("kind", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("at", Float, nullable=False),
    PrimaryKeyConstraint("kind", "name"),
    sqlite_with_rowid=False,
)
Index("revocations_at", revocations.c.at)

meta = Table(
    "meta",
    metadata,
    Column("key", Text, primary_key=True),
    Column("value", Text, nullable=False),
)
