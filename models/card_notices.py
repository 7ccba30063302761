"""That stored cards expire soon: what was told of them, and to whom by mail."""

from __future__ import annotations

from sqlalchemy import BigInteger, CheckConstraint, Column, ForeignKey, Index, Integer, Table, UniqueConstraint

from models import metadata
from models.columns import identity, moment, words

card_notices = Table(
    "card_notices",
    metadata,
    identity(),
    Column("kept_card_id", BigInteger, ForeignKey("kept_cards.id"), nullable=False),
    words("notice"),  # rules.card_expiry.Notice
    moment("told_at", nullable=False),
    # the mail about it; its address is looked up when it is sent
    words("mail_to"),  # rules.card_expiry.MailTo
    words("message_id"),  # a mail that is sent twice is seen once
    words("state"),
    words("next_step", nullable=True),
    moment("due_at"),
    Column("tries", Integer, nullable=False, server_default="0"),
    Column("lease_token", BigInteger),
    words("said", default=""),  # what the mail server said last
    moment("ended_at"),
    UniqueConstraint("kept_card_id", "notice"),
    UniqueConstraint("message_id"),
    CheckConstraint("notice IN ('soon', 'last_month')", name="notice_known"),
    CheckConstraint("mail_to IN ('customer', 'office', 'nobody')", name="mail_to_known"),
    CheckConstraint("state IN ('told', 'due', 'sent', 'failed')", name="state_known"),
    CheckConstraint("next_step IN ('mail')", name="step_known"),
    CheckConstraint("(next_step IS NULL) = (due_at IS NULL)", name="due_with_step"),
    CheckConstraint("(state = 'due') = (next_step IS NOT NULL)", name="unfinished_has_step"),
)
"""Each notice of a card once; the row is committed with the event (D1)."""

Index("ix_card_notices_due", card_notices.c.due_at, postgresql_where=card_notices.c.next_step.isnot(None))
