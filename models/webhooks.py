"""Webhooks: where apps want to be told, what is told to whom, and every try."""

from __future__ import annotations

from sqlalchemy import BigInteger, CheckConstraint, Column, ForeignKey, Index, Integer, LargeBinary, Table, text
from sqlalchemy import UniqueConstraint as Unique
from sqlalchemy.dialects.postgresql import ARRAY

from models import metadata
from models.columns import identity, moment, words

event_horizon = Table(
    "event_horizon",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),  # 1
    Column("safe_id", BigInteger, nullable=False),  # no event up to here will appear any more
    Column("next_id", BigInteger, nullable=False),  # safe as soon as each transaction below next_xid has ended
    Column("next_xid", BigInteger, nullable=False),
    CheckConstraint("id = 1", name="one_row"),
)
"""How far the events may be read without skipping one whose transaction has not ended (books/feed.py)."""

webhook_endpoints = Table(
    "webhook_endpoints",
    metadata,
    identity(),
    words("url"),
    Column("types", ARRAY(words("type").type), nullable=False),  # empty: all
    Column("customer_id", BigInteger, ForeignKey("customers.id")),  # null: all customers
    words("contact"),  # e-mail address that is told when it is disabled; empty: none
    Column("secret_sealed", LargeBinary, nullable=False),
    words("secret_key_id"),
    Column("old_sealed", LargeBinary),  # signs beside the new one until old_until
    words("old_key_id", nullable=True),
    moment("old_until"),
    words("state"),
    words("why", default=""),
    Column("cursor", BigInteger, nullable=False),  # events up to here have their deliveries
    moment("failing_since"),
    Column("failures", Integer, nullable=False, server_default=text("0")),  # in a row
    moment("rests_until"),
    moment("replay_since"),  # what happened since is told again, step by step,
    Column("replay_after", BigInteger),  # from here
    Column("replay_upto", BigInteger),  # to here
    moment("told_at"),
    moment("created_at", nullable=False),
    words("created_by"),
    CheckConstraint("state IN ('enabled', 'disabled', 'deleted')", name="state_known"),
    CheckConstraint("num_nonnulls(old_sealed, old_key_id, old_until) IN (0, 3)", name="old_secret_whole"),
    CheckConstraint("num_nonnulls(replay_since, replay_after, replay_upto) IN (0, 3)", name="replay_whole"),
)
"""An address that an app registered; its secret is sealed."""

webhook_deliveries = Table(
    "webhook_deliveries",
    metadata,
    identity(),
    Column("endpoint_id", BigInteger, ForeignKey("webhook_endpoints.id"), nullable=False),
    Column("event_id", BigInteger, nullable=False),
    Column("payment_id", BigInteger),  # whose events come in their order
    words("state"),
    words("next_step", nullable=True),
    moment("due_at"),
    Column("tries", Integer, nullable=False, server_default=text("0")),
    Column("lease_token", BigInteger),
    moment("began_at", nullable=False),
    moment("ended_at"),
    Unique("endpoint_id", "event_id"),
    CheckConstraint("state IN ('due', 'delivered', 'failed')", name="state_known"),
    CheckConstraint("next_step IN ('deliver')", name="step_known"),
    CheckConstraint("(next_step IS NULL) = (due_at IS NULL)", name="due_with_step"),
    CheckConstraint("next_step IS NULL OR state = 'due'", name="finished_has_no_step"),
)
"""One event for one endpoint; `due` without a step where its endpoint is disabled."""

Index(
    "ix_webhook_deliveries_due",
    webhook_deliveries.c.endpoint_id,
    webhook_deliveries.c.due_at,
    postgresql_where=text("next_step IS NOT NULL"),
)
Index(
    "ix_webhook_deliveries_order",
    webhook_deliveries.c.endpoint_id,
    webhook_deliveries.c.payment_id,
    webhook_deliveries.c.event_id,
    postgresql_where=text("state = 'due'"),
)

webhook_attempts = Table(
    "webhook_attempts",
    metadata,
    identity(),
    Column("delivery_id", BigInteger, ForeignKey("webhook_deliveries.id"), nullable=False),
    moment("at", nullable=False),
    Column("status", Integer),  # null: no answer
    Column("milliseconds", Integer, nullable=False),
    words("said"),
)
"""Every try: the answer's status and first words, or the error in words."""

Index("ix_webhook_attempts_delivery", webhook_attempts.c.delivery_id)
