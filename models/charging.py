"""Operations at gateways, the reversals that drive voids and refunds, and what the gateways said."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    Table,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from models import metadata
from models.columns import identity, minor, moment, words

reversals = Table(
    "reversals",
    metadata,
    identity(),
    Column("payment_id", BigInteger, ForeignKey("payments.id"), nullable=False),
    Column("sale_id", BigInteger, ForeignKey("gateway_transactions.id", use_alter=True), nullable=False),
    minor("amount_minor"),
    words("currency"),
    words("state"),
    words("purpose", default="void"),  # of a payment that was voided; or a refund of a part (R17)
    words("policy"),  # refund_on_void_failure: auto or ask (R12)
    words("reason"),
    words("next_step", nullable=True),
    moment("due_at"),
    Column("voids", Integer, nullable=False, server_default=text("0")),  # voids that were sent
    Column("refunds", Integer, nullable=False, server_default=text("0")),  # refunds that were sent
    Column("asked", Integer, nullable=False, server_default=text("0")),  # inquiries since the last send
    moment("started_at", nullable=False),
    words("started_by"),
    moment("ended_at"),
    CheckConstraint("amount_minor > 0", name="amount_above_zero"),
    CheckConstraint("purpose IN ('void', 'refund')", name="purpose_known"),
    CheckConstraint("policy IN ('auto', 'ask')", name="policy_known"),
    CheckConstraint(
        "state IN ('voiding', 'voided', 'refund_due', 'refund_awaiting_approval', 'refunding', 'refund_accepted',"
        " 'refunded', 'failed', 'kept')",
        name="state_known",
    ),
    CheckConstraint("next_step IS NULL OR next_step IN ('void', 'confirm', 'refund', 'watch')", name="step_known"),
    CheckConstraint("(next_step IS NULL) = (due_at IS NULL)", name="due_with_step"),
)
"""Getting the money of a card payment back to the card: a void where the gateway still can, else a refund (R11)."""

Index("ix_reversals_payment", reversals.c.payment_id)
Index(
    "ix_reversals_due",
    reversals.c.next_step,
    reversals.c.due_at,
    postgresql_where=reversals.c.next_step.isnot(None),
)
Index(
    "uq_reversals_one_open_a_sale",
    reversals.c.sale_id,
    unique=True,
    postgresql_where=text("purpose = 'void' AND state NOT IN ('failed', 'kept')"),
)

Index(
    "ix_reversals_for_a_person",
    reversals.c.state,
    reversals.c.id,
    postgresql_where=text("purpose = 'void' AND state IN ('refund_awaiting_approval', 'failed')"),
)
Index(
    "ix_reversals_refund_failed",
    reversals.c.ended_at,
    postgresql_where=text("purpose = 'refund' AND state = 'failed'"),
)

gateway_transactions = Table(
    "gateway_transactions",
    metadata,
    identity(),
    Column("payment_id", BigInteger, ForeignKey("payments.id"), nullable=False),
    words("operation"),
    words("gateway"),
    words("account"),
    Column("reference", BigInteger, nullable=False),  # E2: drawn at random before the call
    Column("sale_id", BigInteger, ForeignKey("gateway_transactions.id")),  # of a void or refund
    Column("reversal_id", BigInteger, ForeignKey("reversals.id")),
    minor("amount_minor"),
    words("currency"),
    words("card_fingerprint", nullable=True),
    # how it was sent, so that it is sent again as the same bytes (E4)
    Column("gateway_card_id", BigInteger),  # what was known of the kept card; its row goes when the card is removed
    Column("by_token", Boolean, nullable=False, server_default=text("false")),  # instead of the number (C4)
    Column("keep_card", Boolean, nullable=False, server_default=text("false")),  # a token was asked for
    words("state"),
    # what the gateway answered
    words("transaction_id", default=""),
    words("approval_code", default=""),
    words("code", default=""),
    words("message", default=""),
    words("decline_class", nullable=True),
    Column("blocks_card", Boolean, nullable=False, server_default=text("false")),  # no retry with this card any more
    # the lease of the process that calls, and the inquiries
    words("next_step", nullable=True),
    moment("due_at"),
    Column("lease_token", BigInteger),
    moment("send_until", nullable=False),  # the last moment at which a send was possible (E1)
    Column("sends", Integer, nullable=False, server_default=text("1")),
    Column("asked", Integer, nullable=False, server_default=text("0")),
    moment("started_at", nullable=False),
    moment("finished_at"),
    UniqueConstraint("reference"),
    CheckConstraint("operation IN ('sale', 'void', 'refund')", name="operation_known"),
    CheckConstraint("(operation = 'sale') = (sale_id IS NULL)", name="sale_named"),
    CheckConstraint("amount_minor > 0", name="amount_above_zero"),
    CheckConstraint(
        "state IN ('started', 'unknown', 'review', 'approved', 'declined', 'failed', 'surplus')", name="state_known"
    ),
    CheckConstraint("next_step IS NULL OR next_step IN ('inquire')", name="step_known"),
    CheckConstraint("(next_step IS NULL) = (due_at IS NULL)", name="due_with_step"),
)
"""One operation at a gateway: committed as `started` before the call (E1), then what came of it."""

# E5: one sale a payment unless every earlier one ended by an answer; the database holds it, not only the code.
Index(
    "uq_gateway_transactions_one_live_sale",
    gateway_transactions.c.payment_id,
    unique=True,
    postgresql_where=text("operation = 'sale' AND state IN ('started', 'unknown', 'review', 'approved')"),
)
Index("ix_gateway_transactions_payment", gateway_transactions.c.payment_id)
Index(
    "ix_gateway_transactions_due",
    gateway_transactions.c.due_at,
    postgresql_where=gateway_transactions.c.next_step.isnot(None),
)
# R16: attempts of one card, over all payments.
Index(
    "ix_gateway_transactions_card",
    gateway_transactions.c.card_fingerprint,
    gateway_transactions.c.started_at,
    postgresql_where=gateway_transactions.c.operation == "sale",
)

Index(
    "ix_gateway_transactions_undecided",
    gateway_transactions.c.id,
    postgresql_where=text("operation = 'sale' AND state IN ('unknown', 'review')"),
)
Index(
    "ix_gateway_transactions_started",
    gateway_transactions.c.started_at,
    postgresql_using="brin",
    postgresql_with={"autosummarize": "on"},
)

# By the gateway's own id: for what a notice or a report names.
Index(
    "ix_gateway_transactions_transaction_id",
    gateway_transactions.c.transaction_id,
    postgresql_using="hash",
    postgresql_where=text("transaction_id <> ''"),
)

disputes = Table(
    "disputes",
    metadata,
    identity(),
    Column("payment_id", BigInteger, ForeignKey("payments.id"), nullable=False),
    words("reference"),  # the gateway's or the network's case
    minor("amount_minor"),
    words("currency"),
    words("state"),
    words("reason"),
    moment("opened_at", nullable=False),
    words("opened_by"),
    moment("ended_at"),
    words("ended_by", nullable=True),
    words("ended_why", nullable=True),
    UniqueConstraint("payment_id", "reference"),
    CheckConstraint("amount_minor > 0", name="amount_above_zero"),
    CheckConstraint("state IN ('open', 'won', 'lost')", name="state_known"),
)
"""A payer had the bank take a charge back, in whole or in part: held until it is won or lost."""

Index("ix_disputes_open", disputes.c.id, postgresql_where=disputes.c.state == "open")

evidence = Table(
    "evidence",
    metadata,
    identity(),
    Column("gateway_transaction_id", BigInteger, nullable=False),
    moment("at", nullable=False),
    words("kind"),  # reply, inquiry, person
    Column("http_status", Integer),
    Column("said", JSONB, nullable=False),
)
"""What a gateway said, as it said it (redacted); append-only, and refuses nothing."""

Index("ix_evidence_transaction", evidence.c.gateway_transaction_id)
