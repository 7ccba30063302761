"""Customers and what they owe: invoices."""

from __future__ import annotations

from sqlalchemy import BigInteger, CheckConstraint, Column, Date, ForeignKey, Index, Table, UniqueConstraint, text

from models import metadata
from models.columns import identity, minor, moment, words

customers = Table(
    "customers",
    metadata,
    identity(),
    words("number"),
    words("name"),
    words("email", nullable=True),
    words("phone", nullable=True),
    moment("created_at", nullable=False),
    moment("erased_at"),  # its personal data was taken out: nothing new is recorded of it
    UniqueConstraint("number"),
)
"""Who is billed. Its row lock (FOR NO KEY UPDATE) is the first lock of everything that moves its money (B3)."""

# How people look for a customer (books.find): by how a number, name or address begins, or by any part of the words.
Index("ix_customers_number_begins", text("search_text(number)"), _table=customers)
Index("ix_customers_name_begins", text("search_text(name)"), text("id"), _table=customers)
Index("ix_customers_email_begins", text("search_text(email)"), _table=customers)
Index(
    "ix_customers_words",
    text("customer_words(name, phone) gin_trgm_ops"),
    _table=customers,
    postgresql_using="gin",
)

invoices = Table(
    "invoices",
    metadata,
    identity(),
    Column("customer_id", BigInteger, ForeignKey("customers.id"), nullable=False),
    words("number"),
    Column("invoice_date", Date, nullable=False),
    Column("due_date", Date, nullable=False),
    words("currency"),
    minor("total_minor"),
    minor("balance_minor"),
    words("state"),
    moment("created_at", nullable=False),
    UniqueConstraint("customer_id", "number"),
    CheckConstraint("total_minor > 0", name="total_above_zero"),
    CheckConstraint("balance_minor BETWEEN 0 AND total_minor", name="balance_within_total"),
    CheckConstraint("state IN ('draft', 'pending', 'paid', 'void')", name="state_known"),
    # R4: paid at 0 and only at 0; drafts and void invoices take nothing (R1).
    CheckConstraint(
        "CASE WHEN state IN ('pending', 'paid') THEN (state = 'paid') = (balance_minor = 0)"
        " ELSE balance_minor = total_minor END",
        name="paid_at_zero",
    ),
)
"""What is owed: Pending while its balance is above 0, Paid at 0."""

# R1: oldest first, in the same order on every run.
Index(
    "ix_invoices_pending_oldest_first",
    invoices.c.customer_id,
    invoices.c.currency,
    invoices.c.invoice_date,
    invoices.c.due_date,
    invoices.c.number,
    invoices.c.id,
    postgresql_where=invoices.c.state == "pending",
)
Index("ix_invoices_number", invoices.c.number, invoices.c.id)
Index("ix_invoices_customer", invoices.c.customer_id, invoices.c.id)
