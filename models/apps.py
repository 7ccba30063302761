"""Upstream apps: the keys that they come with, and what they were answered."""

from __future__ import annotations

from sqlalchemy import BigInteger, CheckConstraint, Column, ForeignKey, Integer, LargeBinary, Table, Text
from sqlalchemy import UniqueConstraint as Unique
from sqlalchemy.dialects.postgresql import ARRAY

from models import metadata
from models.columns import identity, moment, words

api_keys = Table(
    "api_keys",
    metadata,
    identity(),
    words("name"),
    words("prefix"),  # how the secret begins: what people tell keys apart by
    Column("secret_hash", LargeBinary, nullable=False),  # SHA-256 of 256 random bits, shown once and kept nowhere
    Column("scopes", ARRAY(words("scope").type), nullable=False),
    Column("customer_id", BigInteger, ForeignKey("customers.id")),  # null: all customers
    moment("created_at", nullable=False),
    words("created_by"),
    moment("revoked_at"),
    words("revoked_by", nullable=True),
    moment("last_used_at"),  # to the minute
    Unique("name"),
    Unique("secret_hash"),
    CheckConstraint("cardinality(scopes) > 0", name="some_scope"),
    CheckConstraint("scopes <@ ARRAY['read', 'pay', 'void', 'refund', 'admin']", name="scopes_known"),
    CheckConstraint("(revoked_at IS NULL) = (revoked_by IS NULL)", name="revoked_by_somebody"),
)
"""A key of an app; its name stays its own for good, since events name it."""

api_answers = Table(
    "api_answers",
    metadata,
    Column("key_id", BigInteger, ForeignKey("api_keys.id"), primary_key=True),
    Column("idempotency_key", Text(collation="C"), primary_key=True),
    Column("content_digest", LargeBinary, nullable=False),
    Column("status", Integer, nullable=False),
    words("body", nullable=True),  # null: of a batch, which says itself how it stands
    moment("answered_at", nullable=False),
)
"""R15: what a write was answered, in the transaction of what it made; a payment is found by its own key and digest."""
