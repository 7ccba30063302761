"""Charges that the clock sets going: schedules and their runs; and holds, while which it sets none going."""

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

from models import metadata
from models.columns import identity, minor, moment, words

schedules = Table(
    "schedules",
    metadata,
    identity(),
    Column("customer_id", BigInteger, ForeignKey("customers.id"), nullable=False),
    # who asked, and the key that makes asking twice harmless (R15)
    words("caller"),
    words("idempotency_key"),
    Column("content_digest", LargeBinary, nullable=False),
    # what each run asks for
    words("currency"),
    minor("amount_minor", nullable=True),  # null: all that is owed on the day
    Column("as_credit", Boolean, nullable=False),  # the whole amount, also where less is owed
    words("notes", default=""),
    words("card_token"),  # of a card that the customer let the office keep
    # when: rules.schedules.Rhythm
    words("unit"),
    Column("every", Integer, nullable=False),
    Column("month_day", Integer),  # 31: the last of each month
    Column("first_on", Date, nullable=False),
    Column("until", Date),  # the last possible date
    Column("times", Integer),  # so many payments at the most
    # where it stands
    words("state"),
    words("reason", default=""),
    Column("next_on", Date),
    moment("due_at"),
    Column("payments_made", Integer, nullable=False, server_default=text("0")),
    moment("created_at", nullable=False),
    words("created_by"),
    moment("resumed_at"),
    UniqueConstraint("caller", "idempotency_key"),
    CheckConstraint("amount_minor > 0", name="amount_above_zero"),
    CheckConstraint("unit IN ('week', 'month')", name="unit_known"),
    CheckConstraint("every > 0", name="every_above_zero"),
    CheckConstraint("times > 0", name="times_above_zero"),
    CheckConstraint("month_day BETWEEN 1 AND 31", name="day_of_a_month"),
    CheckConstraint("(unit = 'month') = (month_day IS NOT NULL)", name="day_with_months"),
    CheckConstraint("state IN ('active', 'paused', 'ended')", name="state_known"),
    CheckConstraint("(state = 'active') = (next_on IS NOT NULL)", name="active_has_date"),
    CheckConstraint("(next_on IS NULL) = (due_at IS NULL)", name="due_with_date"),
)
"""An agreement with a customer to charge a kept card again and again; while active it has a next date (D1)."""

Index("ix_schedules_customer", schedules.c.customer_id, schedules.c.id)
Index("ix_schedules_due", schedules.c.due_at, postgresql_where=schedules.c.due_at.isnot(None))

schedule_runs = Table(
    "schedule_runs",
    metadata,
    identity(),
    Column("schedule_id", BigInteger, ForeignKey("schedules.id"), nullable=False),
    Column("due_on", Date, nullable=False),
    words("outcome"),
    words("why", default=""),
    Column("payment_id", BigInteger, ForeignKey("payments.id")),
    moment("at", nullable=False),
    words("by"),
    UniqueConstraint("schedule_id", "due_on"),
    UniqueConstraint("payment_id"),
    CheckConstraint("outcome IN ('payment', 'skipped', 'missed', 'refused')", name="outcome_known"),
    CheckConstraint("(outcome = 'payment') = (payment_id IS NOT NULL)", name="payment_where_made"),
)
"""What became of each date of a schedule, once a date: the row is committed with the payment that it made."""

customer_holds = Table(
    "customer_holds",
    metadata,
    identity(),
    Column("customer_id", BigInteger, ForeignKey("customers.id"), nullable=False),
    words("reason"),
    moment("until"),  # null: until it is lifted
    moment("placed_at", nullable=False),
    words("placed_by"),
    moment("lifted_at"),
    words("lifted_by", nullable=True),
    CheckConstraint("(lifted_at IS NULL) = (lifted_by IS NULL)", name="lifted_by_somebody"),
)
"""While one stands, nothing charges its customer by itself."""

Index(
    "uq_customer_holds_one_a_customer",
    customer_holds.c.customer_id,
    unique=True,
    postgresql_where=customer_holds.c.lifted_at.is_(None),
)
