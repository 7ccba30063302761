"""What happened: events for people and machines, and the journal for the books; both append-only."""

from __future__ import annotations

from sqlalchemy import BigInteger, CheckConstraint, Column, Date, Index, Table, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from models import metadata
from models.columns import identity, moment, words

events = Table(
    "events",
    metadata,
    identity(),
    moment("at", nullable=False),
    words("what"),
    Column("customer_id", BigInteger),
    Column("payment_id", BigInteger),
    Column("batch_id", BigInteger),
    Column("invoice_id", BigInteger),
    Column("gateway_transaction_id", BigInteger),
    words("from_state", nullable=True),
    words("to_state", nullable=True),
    words("why", default=""),
    words("by"),
    Column("details", JSONB),
)
"""One line of history each: when, what, from state, to state, why, by whom; without foreign keys it outlives all."""

Index("ix_events_payment", events.c.payment_id, postgresql_where=events.c.payment_id.isnot(None))
Index("ix_events_alarms", events.c.id, postgresql_where=text("what LIKE 'alarm.%'"))

journal = Table(
    "journal",
    metadata,
    identity(),
    moment("at", nullable=False),
    Column("post_date", Date, nullable=False),
    words("kind"),
    Column("customer_id", BigInteger, nullable=False),
    Column("payment_id", BigInteger),
    Column("invoice_id", BigInteger),
    words("currency"),
    Column("accounts", ARRAY(words("account").type), nullable=False),
    Column("amounts_minor", ARRAY(BigInteger), nullable=False),
    CheckConstraint("cardinality(accounts) = cardinality(amounts_minor)", name="account_for_each_amount"),
    # B1: an entry that does not balance cannot be written.
    CheckConstraint("cardinality(amounts_minor) >= 2 AND journal_sum(amounts_minor) = 0", name="balances"),
)
"""Double entry (B1): one row an entry; its debit (above 0) and credit (below 0) lines side by side in two arrays.

The view `postings` shows one row a line.
"""

Index("ix_journal_payment", journal.c.payment_id, postgresql_where=journal.c.payment_id.isnot(None))
# A day's money: a few pages, since post dates nearly follow the order of the rows.
Index(
    "ix_journal_post_date",
    journal.c.post_date,
    postgresql_using="brin",
    postgresql_ops={"post_date": "date_minmax_multi_ops"},
    postgresql_with={"autosummarize": "on"},
)
