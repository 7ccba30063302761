"""What gateways told us without being asked: stored before anything is made of it."""

from __future__ import annotations

from sqlalchemy import BigInteger, CheckConstraint, Column, Index, Integer, LargeBinary, Table, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import JSONB

from models import metadata
from models.columns import identity, moment, words

notices = Table(
    "notices",
    metadata,
    identity(),
    words("gateway"),
    words("digest"),  # keyed, of the body: a notice that comes twice is one row
    Column("headers", JSONB, nullable=False),  # what the signature needs of them
    words("key_id", nullable=True),
    Column("sealed", LargeBinary),  # the body, as it came, until it was looked at
    moment("received_at", nullable=False),
    words("state"),
    words("next_step", nullable=True),
    moment("due_at"),
    Column("lease_token", BigInteger),
    Column("tries", Integer, nullable=False, server_default=text("0")),
    # what it says, if it was verified
    words("event_id", nullable=True),
    Column("said", JSONB),
    Column("gateway_transaction_id", BigInteger),
    words("why", default=""),
    moment("ended_at"),
    UniqueConstraint("gateway", "digest"),
    CheckConstraint(
        "state IN ('waiting', 'verified', 'repeated', 'unmatched', 'rejected')",
        name="state_known",
    ),
    CheckConstraint("next_step IS NULL OR next_step IN ('verify')", name="step_known"),
    CheckConstraint("(next_step IS NULL) = (due_at IS NULL)", name="due_with_step"),
    CheckConstraint("(state = 'waiting') = (next_step IS NOT NULL)", name="unfinished_has_step"),
    CheckConstraint("(sealed IS NULL) = (key_id IS NULL)", name="sealed_with_key"),
    CheckConstraint("(state = 'waiting') = (sealed IS NOT NULL)", name="body_until_looked_at"),
)
"""Notices: a wake-up each (D1), never the truth; what is true the gateway is asked for."""

Index("ix_notices_due", notices.c.due_at, postgresql_where=notices.c.next_step.isnot(None))
Index("ix_notices_received", notices.c.received_at, notices.c.gateway)
Index(
    "uq_notices_event",
    notices.c.gateway,
    notices.c.event_id,
    unique=True,
    postgresql_where=text("event_id IS NOT NULL AND state <> 'repeated'"),
)
