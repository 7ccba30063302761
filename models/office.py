"""What the office works with beside the payments: proposals, kept cards, what somebody waits for, mail."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from models import metadata
from models.columns import identity, minor, moment, words

proposals = Table(
    "proposals",
    metadata,
    identity(),
    words("kind"),
    Column("payment_id", BigInteger, ForeignKey("payments.id"), nullable=False),
    minor("amount_minor"),
    words("currency"),
    words("policy"),  # of a void: what follows if the gateway refuses it (R12)
    words("reason"),
    moment("asked_at", nullable=False),
    words("asked_by"),
    words("decision", nullable=True),
    moment("decided_at"),
    words("decided_by", nullable=True),
    CheckConstraint("kind IN ('void', 'refund', 'refund_part')", name="kind_known"),
    CheckConstraint("policy IN ('auto', 'ask')", name="policy_known"),
    CheckConstraint("amount_minor > 0", name="amount_above_zero"),
    CheckConstraint("decision IN ('approved', 'refused', 'withdrawn')", name="decision_known"),
    CheckConstraint("num_nonnulls(decision, decided_at, decided_by) IN (0, 3)", name="decided_at_once"),
    CheckConstraint("decision <> 'approved' OR decided_by <> asked_by", name="second_person"),
)
"""What somebody may not do alone, since it is above their limit: a second person approves it or not."""

Index(
    "uq_proposals_one_open_a_payment",
    proposals.c.payment_id,
    unique=True,
    postgresql_where=proposals.c.decision.is_(None),
)

kept_cards = Table(
    "kept_cards",
    metadata,
    identity(),
    Column("customer_id", BigInteger, ForeignKey("customers.id"), nullable=False),
    words("token"),  # of the vault
    words("brand"),
    words("last_four"),
    Column("exp_month", Integer, nullable=False),
    Column("exp_year", Integer, nullable=False),
    words("fingerprint"),
    moment("kept_at", nullable=False),
    words("kept_by"),
    moment("removed_at"),
    words("removed_by", nullable=True),
    UniqueConstraint("token"),
    CheckConstraint("(removed_at IS NULL) = (removed_by IS NULL)", name="removed_by_somebody"),
)
"""Cards that a customer let the office keep for later payments."""

Index(
    "uq_kept_cards_one_a_customer",
    kept_cards.c.customer_id,
    kept_cards.c.fingerprint,
    unique=True,
    postgresql_where=kept_cards.c.removed_at.is_(None),
)

Index(
    "ix_kept_cards_expiry",
    kept_cards.c.exp_year,
    kept_cards.c.exp_month,
    kept_cards.c.id,
    postgresql_where=kept_cards.c.removed_at.is_(None),
)

follow_ups = Table(
    "follow_ups",
    metadata,
    Column("user_name", Text(collation="C"), primary_key=True),
    Column("payment_id", BigInteger, ForeignKey("payments.id"), primary_key=True),
    moment("since", nullable=False),
)
"""Payments whose outcome somebody did not wait for, and is to be told of."""

mails = Table(
    "mails",
    metadata,
    identity(),
    Column("payment_id", BigInteger, ForeignKey("payments.id"), nullable=False),
    words("address"),
    words("message_id"),  # drawn when it was asked for: a mail that is sent twice is seen once
    words("state"),
    words("next_step", nullable=True),
    moment("due_at"),
    Column("tries", Integer, nullable=False, server_default=text("0")),
    Column("lease_token", BigInteger),
    words("said", default=""),  # what the mail server said last
    moment("asked_at", nullable=False),
    words("asked_by"),
    moment("ended_at"),
    UniqueConstraint("message_id"),
    CheckConstraint("state IN ('due', 'sent', 'failed')", name="state_known"),
    CheckConstraint("next_step IN ('mail')", name="step_known"),
    CheckConstraint("(next_step IS NULL) = (due_at IS NULL)", name="due_with_step"),
    CheckConstraint("(state = 'due') = (next_step IS NOT NULL)", name="unfinished_has_step"),
)
"""Receipts that are to be sent, or were (D1: what is due stands here, and a message only wakes)."""

Index("ix_mails_due", mails.c.due_at, postgresql_where=mails.c.next_step.isnot(None))
Index("ix_mails_payment", mails.c.payment_id)
Index("ix_mails_failed", mails.c.ended_at, postgresql_where=mails.c.state == "failed")
