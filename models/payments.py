"""Payments, the batches they came in, what they paid (allocations) and what was left over (credits)."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    Table,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY

from models import metadata
from models.columns import identity, minor, moment, words

batches = Table(
    "batches",
    metadata,
    identity(),
    words("caller"),
    words("idempotency_key"),
    words("label"),
    words("state"),
    moment("created_at", nullable=False),
    words("created_by"),
    moment("tended_at"),  # when a lane last worked on it: the sweeper wakes it only when nobody does (D3)
    words("traceparent", nullable=True),  # the request that submitted it, where traces are sent
    UniqueConstraint("caller", "idempotency_key"),
    CheckConstraint("state IN ('open', 'done')", name="state_known"),
)
"""Payments that were submitted together and whose progress is watched together."""

Index("ix_batches_open", batches.c.id, postgresql_where=batches.c.state == "open")

payments = Table(
    "payments",
    metadata,
    identity(),
    Column("customer_id", BigInteger, ForeignKey("customers.id"), nullable=False),
    Column("batch_id", BigInteger, ForeignKey("batches.id")),
    # who asked, and the key that makes asking twice harmless (R15)
    words("caller"),
    words("idempotency_key"),
    Column("content_digest", LargeBinary, nullable=False),
    # what was asked for
    words("method"),
    words("number", nullable=True),
    words("currency"),
    minor("total_minor"),
    Column("invoice_ids", ARRAY(BigInteger)),  # in the order they are to be paid; null: oldest first (R1)
    Column("caps_minor", ARRAY(BigInteger)),  # beside invoice_ids: at most so much to each, null: no cap (R2)
    Column("post_date", Date),  # null until a charged payment without a given date is approved (R5)
    words("notes", default=""),
    Column("as_credit", Boolean, nullable=False),
    Column("allow_overlap", Boolean, nullable=False),
    words("when_owed_less"),
    minor("owed_at_request_minor"),
    # the card, as far as it may be shown (C1), and the gateway that charges it (R7)
    words("card_token", nullable=True),
    words("card_brand", nullable=True),
    words("card_last_four", nullable=True),
    words("card_fingerprint", nullable=True),
    Column("card_exp_month", Integer),
    Column("card_exp_year", Integer),
    Column(
        "card_once", Boolean, nullable=False, server_default=text("false")
    ),  # came with this payment, for it alone (C2)
    Column("recurring", Boolean, nullable=False, server_default=text("false")),  # one of a series that was agreed (C4)
    Column("attended", Boolean, nullable=False, server_default=text("false")),  # somebody was at the screen
    words("gateway", nullable=True),
    words("initiated_by", nullable=True),  # rules.initiators.Initiator; null: recorded before it was asked (C4)
    words("traceparent", nullable=True),  # the request that asked for it alone, where traces are sent
    Column("run_on", Date),  # the business day before which it is not charged; null: as soon as it is recorded
    # where it stands
    words("state"),
    words("reason", default=""),
    words("next_step", nullable=True),
    moment("due_at"),
    moment("not_before"),  # the networks' earliest moment for a retry, which no hand can undercut (R16)
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("failures", Integer, nullable=False, server_default=text("0")),
    moment("first_declined_at"),
    words("cancel_wish_by", nullable=True),  # R13: somebody wants a payment cancelled that is being charged
    # what became of its money
    minor("charged_minor", nullable=True),
    minor("applied_minor", default="0"),
    minor("credited_minor", default="0"),
    minor("refunded_minor", default="0"),
    minor("charged_back_minor", default="0"),  # disputes that were lost
    # who and when
    moment("recorded_at", nullable=False),
    words("recorded_by"),
    moment("posted_at"),
    moment("voided_at"),
    words("voided_by", nullable=True),
    words("void_reason", nullable=True),
    UniqueConstraint("caller", "idempotency_key"),
    CheckConstraint("total_minor > 0", name="total_above_zero"),
    CheckConstraint(
        "method IN ('check', 'money_order', 'credit_card', 'cash', 'paypal', 'other')", name="method_known"
    ),
    CheckConstraint("number IS NULL OR method IN ('check', 'money_order')", name="number_on_checks_only"),
    CheckConstraint(
        "(gateway IS NULL) OR (method = 'credit_card' AND card_token IS NOT NULL)", name="gateway_for_cards"
    ),
    CheckConstraint(
        "state IN ('requested', 'charging', 'retrying', 'review', 'posted', 'declined', 'cancelled', 'voided')",
        name="state_known",
    ),
    CheckConstraint("(next_step IS NULL) = (due_at IS NULL)", name="due_with_step"),
    CheckConstraint("next_step IS NULL OR next_step IN ('post', 'charge')", name="step_known"),
    # D1: whatever is unfinished has a next step here or is in the hands of a gateway transaction or a person.
    CheckConstraint("state NOT IN ('requested', 'retrying') OR next_step IS NOT NULL", name="unfinished_has_step"),
    CheckConstraint("state IN ('requested', 'retrying') OR next_step IS NULL", name="finished_has_no_step"),
    # B2: what a posted payment took in is applied, credited or refunded, to the cent.
    CheckConstraint(
        "state <> 'posted' OR coalesce(charged_minor, total_minor)"
        " = applied_minor + credited_minor + refunded_minor + charged_back_minor",
        name="posted_adds_up",
    ),
    CheckConstraint("state <> 'voided' OR (applied_minor = 0 AND credited_minor = 0)", name="voided_holds_nothing"),
    CheckConstraint(
        "least(applied_minor, credited_minor, refunded_minor, charged_back_minor, coalesce(charged_minor, 0)) >= 0",
        name="no_sum_below_zero",
    ),
)
"""One sum received or to be received from a customer; never applied to the customer as such (R1)."""

# D1: the one index of what is due. Claims come by batch and in the order of customers (D2); with due_at in it, they and
# the sweeper pass over what waits for days without reading the table.
Index(
    "ix_payments_due",
    payments.c.next_step,
    payments.c.batch_id,
    payments.c.customer_id,
    payments.c.id,
    payments.c.due_at,
    postgresql_where=payments.c.next_step.isnot(None),
)
Index(
    "ix_payments_batch_state",
    payments.c.batch_id,
    payments.c.state,
    payments.c.id,
    postgresql_where=payments.c.batch_id.isnot(None),
)
Index("ix_payments_customer", payments.c.customer_id, payments.c.id)
# R8a: card payments under way, to be added up for each customer; by state, so that a charge passes over what waits.
Index(
    "ix_payments_under_way",
    payments.c.customer_id,
    payments.c.state,
    postgresql_where=text("gateway IS NOT NULL AND state IN ('requested', 'charging', 'retrying', 'review')"),
)

# R16: the few that wait for another try, whatever batch they came in.
Index("ix_payments_retrying", payments.c.due_at, postgresql_where=payments.c.state == "retrying")

# What waits for a person, and what a span of time brought.
Index("ix_payments_review", payments.c.id, postgresql_where=payments.c.state == "review")
Index(
    "ix_payments_recorded",
    payments.c.recorded_at,
    postgresql_using="brin",
    postgresql_with={"autosummarize": "on"},
)

# How people look for a payment: by the number of a check, by the last digits of a card, the latest first.
Index("ix_payments_number", payments.c.number, postgresql_where=payments.c.number.isnot(None))
Index(
    "ix_payments_last_four",
    payments.c.card_last_four,
    payments.c.id,
    postgresql_where=payments.c.card_last_four.isnot(None),
)

customer_credits = Table(
    "credits",
    metadata,
    identity(),
    Column("customer_id", BigInteger, ForeignKey("customers.id"), nullable=False),
    Column("payment_id", BigInteger, ForeignKey("payments.id"), nullable=False),
    words("currency"),
    minor("amount_minor"),
    minor("balance_minor"),
    minor("taken_back_minor", default="0"),
    words("note"),
    moment("created_at", nullable=False),
    CheckConstraint("amount_minor > 0", name="amount_above_zero"),
    CheckConstraint("balance_minor BETWEEN 0 AND amount_minor - taken_back_minor", name="balance_within_amount"),
    CheckConstraint("taken_back_minor BETWEEN 0 AND amount_minor", name="taken_back_within_amount"),
)
"""What a payment exceeded the balance due by, owed to the customer, with a note saying where it came from (R3)."""

Index("ix_credits_payment", customer_credits.c.payment_id)
Index(
    "ix_credits_open_oldest_first",
    customer_credits.c.customer_id,
    customer_credits.c.currency,
    customer_credits.c.id,
    postgresql_where=customer_credits.c.balance_minor > 0,
)
Index(
    "ix_credits_used_up",
    customer_credits.c.customer_id,
    customer_credits.c.id,
    postgresql_where=customer_credits.c.balance_minor == 0,
)

allocations = Table(
    "allocations",
    metadata,
    identity(),
    Column("payment_id", BigInteger, ForeignKey("payments.id")),
    Column("credit_id", BigInteger, ForeignKey("credits.id")),
    Column("invoice_id", BigInteger, ForeignKey("invoices.id"), nullable=False),
    minor("amount_minor"),
    minor("reversed_minor", default="0"),
    moment("created_at", nullable=False),
    moment("reversed_at"),
    CheckConstraint("num_nonnulls(payment_id, credit_id) = 1", name="one_source"),
    CheckConstraint("amount_minor > 0", name="amount_above_zero"),
    CheckConstraint("reversed_minor BETWEEN 0 AND amount_minor", name="reversed_within_amount"),
)
"""The part of a payment, or of a credit, that is applied to one invoice; live is what was not reversed."""

Index("ix_allocations_payment", allocations.c.payment_id, postgresql_where=allocations.c.payment_id.isnot(None))
Index("ix_allocations_credit", allocations.c.credit_id, postgresql_where=allocations.c.credit_id.isnot(None))
Index("ix_allocations_invoice", allocations.c.invoice_id)
