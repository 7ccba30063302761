"""What people and programs may look at: where a payment, a batch and everything stands, and a payment's whole story.

Reads only. Amounts are minor units beside their currency, times aware UTC; words for people are the edges' matter.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, Row, text

from books import archive, kept_cards, waiting
from books.sweep import GRACE
from rules.errors import NotFound, shown

ALARMS_SHOWN: Final = 10
ALARMS_AGE: Final = timedelta(days=7)
"""An alarm of late is not older than this."""


@dataclass(frozen=True, slots=True)
class PaymentStatus:
    """One payment: what was asked for, where it stands and what became of its money."""

    payment_id: int
    customer: str
    customer_name: str
    batch_id: int | None
    caller: str
    idempotency_key: str
    method: str
    number: str | None
    currency: str
    total_minor: int
    card: str | None  # brand and last four digits
    gateway: str | None
    notes: str
    state: str
    reason: str
    next_step: str | None
    due_at: datetime | None
    run_on: date | None
    not_before: datetime | None
    attempts: int
    outcome_unknown: bool
    cancel_wish_by: str | None
    post_date: date | None
    charged_minor: int | None
    applied_minor: int
    credited_minor: int
    refunded_minor: int
    charged_back_minor: int
    recorded_at: datetime
    recorded_by: str
    posted_at: datetime | None
    voided_at: datetime | None
    voided_by: str | None
    void_reason: str | None
    reversal_state: str | None

    @property
    def is_planned(self) -> bool:
        """Whether it waits for a later day on which its card is charged."""
        return self.state == "requested" and self.run_on is not None


_PAYMENTS: Final = """
    SELECT p.id AS payment_id, c.number AS customer, c.name AS customer_name, p.batch_id, p.caller, p.idempotency_key,
           p.method, p.number, p.currency, p.total_minor, p.card_brand || ' ending in ' || p.card_last_four AS card,
           p.gateway, p.notes, p.state, p.reason, p.next_step, p.due_at, p.run_on, p.not_before,
           p.attempts,
           p.state IN ('charging', 'review') AND EXISTS (
               SELECT 1 FROM gateway_transactions t
               WHERE t.payment_id = p.id AND t.operation = 'sale' AND t.state = 'unknown') AS outcome_unknown,
           p.cancel_wish_by, p.post_date, p.charged_minor, p.applied_minor, p.credited_minor, p.refunded_minor,
           p.charged_back_minor, p.recorded_at, p.recorded_by, p.posted_at, p.voided_at, p.voided_by, p.void_reason,
           (SELECT r.state FROM reversals r WHERE r.payment_id = p.id ORDER BY r.id DESC LIMIT 1) AS reversal_state
    FROM payments p JOIN customers c ON c.id = p.customer_id"""
_PAYMENT = text(f"{_PAYMENTS} WHERE p.id = :id")
_LATEST = text(f"{_PAYMENTS} ORDER BY p.id DESC LIMIT :most")
_OF_CUSTOMER = text(f"""
    {_PAYMENTS} WHERE p.customer_id = :id AND p.id < coalesce(CAST(:before AS bigint), 9223372036854775807)
    ORDER BY p.id DESC LIMIT :most""")


def _payments(rows: Iterable[Row[Any]]) -> tuple[PaymentStatus, ...]:
    return tuple(PaymentStatus(**row._mapping) for row in rows)


def payment(conn: Connection, payment_id: int) -> PaymentStatus:
    """Where one payment stands. Raises NotFound."""
    found = _payments(conn.execute(_PAYMENT, {"id": payment_id}))
    if not found:
        raise NotFound(f"There is no payment {shown(payment_id)}.", "`defray status` lists the latest payments.")
    return found[0]


def payments_of(
    conn: Connection, customer_id: int, most: int = 50, before: int | None = None
) -> tuple[PaymentStatus, ...]:
    """A customer's payments, the latest first; those before the one that is given."""
    return _payments(conn.execute(_OF_CUSTOMER, {"id": customer_id, "most": most, "before": before}))


_BY_KEY = text("SELECT id FROM payments WHERE caller = :caller AND idempotency_key = :key")


def find_payment(conn: Connection, caller: str, idempotency_key: str) -> int | None:
    """The payment that this caller asked for under this key, if there is one."""
    known = {"caller": caller, "key": idempotency_key}
    found: int | None = conn.execute(_BY_KEY, known).scalar_one_or_none()
    return found


# ---- a batch --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Sums:
    """Sums of payments in one currency, in minor units; `posted_minor` is applied and credited together."""

    currency: str
    payments: int
    requested_minor: int
    posted_minor: int
    applied_minor: int
    credited_minor: int


@dataclass(frozen=True, slots=True)
class BatchStatus:
    """Payments that were submitted together. `ended`: none of them moves before its time comes or a person decides."""

    batch_id: int
    label: str
    state: str
    created_at: datetime
    created_by: str
    payments: int
    finished: int  # posted, declined, cancelled, voided
    waiting: int  # for their next attempt, for an answer to be looked up, or for a person
    by_state: dict[str, int]
    sums: tuple[Sums, ...]
    rows: tuple[PaymentStatus, ...]  # what did not go well first

    @property
    def ended(self) -> bool:
        """Whether all that could be done now is done."""
        return self.finished + self.waiting == self.payments


_BATCH = text("SELECT * FROM batches WHERE id = :id")
_BATCH_STATES = text("SELECT state, count(*) AS payments FROM payments WHERE batch_id = :id GROUP BY 1 ORDER BY 1")
_BATCH_UNKNOWN = text("""
    SELECT count(*) FROM payments p WHERE p.batch_id = :id AND p.state = 'charging' AND EXISTS (
        SELECT 1 FROM gateway_transactions t WHERE t.payment_id = p.id AND t.operation = 'sale' AND t.state = 'unknown')
    """)
_SUMS: Final = """
    SELECT currency, count(*) AS payments, CAST(sum(total_minor) AS bigint) AS requested_minor,
           CAST(sum(applied_minor + credited_minor) AS bigint) AS posted_minor,
           CAST(sum(applied_minor) AS bigint) AS applied_minor, CAST(sum(credited_minor) AS bigint) AS credited_minor
    FROM payments"""
_BATCH_SUMS = text(f"{_SUMS} WHERE batch_id = :id GROUP BY 1 ORDER BY 1")
_ALL_SUMS = text(f"{_SUMS} GROUP BY 1 ORDER BY 1")
WORST_FIRST: Final = ("review", "declined", "retrying", "cancelled", "charging", "voided", "requested", "posted")
"""A batch's payments by state: what did not go well first."""
# The index has the state, but not the order: who is of the state comes first, so that no plan walks through all.
_BATCH_ROWS = text(f"""
    WITH of_state AS MATERIALIZED (
        SELECT id FROM payments WHERE batch_id = :id AND state = :state AND id > :after)
    {_PAYMENTS} WHERE p.id IN (SELECT id FROM of_state ORDER BY id LIMIT :most) ORDER BY p.id""")


def _sums(rows: Iterable[Row[Any]]) -> tuple[Sums, ...]:
    return tuple(Sums(**row._mapping) for row in rows)


def batch(conn: Connection, batch_id: int, most: int = 20) -> BatchStatus:
    """Where a batch stands, with at most so many of its payments. Raises NotFound."""
    found = conn.execute(_BATCH, {"id": batch_id}).one_or_none()
    if found is None:
        raise NotFound(f"There is no batch {shown(batch_id)}.", "`defray status` lists the open ones.")
    by_state = {row.state: row.payments for row in conn.execute(_BATCH_STATES, {"id": batch_id})}
    unknown = conn.execute(_BATCH_UNKNOWN, {"id": batch_id}).scalar_one()
    rows: tuple[PaymentStatus, ...] = ()
    for state in WORST_FIRST:
        if state in by_state and len(rows) < most:
            rows += batch_rows(conn, batch_id, state, most - len(rows))
    return BatchStatus(
        batch_id=batch_id,
        label=found.label,
        state=found.state,
        created_at=found.created_at,
        created_by=found.created_by,
        payments=sum(by_state.values()),
        finished=sum(by_state.get(state, 0) for state in ("posted", "declined", "cancelled", "voided")),
        waiting=by_state.get("retrying", 0) + by_state.get("review", 0) + unknown,
        by_state=by_state,
        sums=_sums(conn.execute(_BATCH_SUMS, {"id": batch_id})),
        rows=rows,
    )


def batch_rows(conn: Connection, batch_id: int, state: str, most: int, after: int = 0) -> tuple[PaymentStatus, ...]:
    """A batch's payments in one state, in the order in which they were recorded, from after a payment's id."""
    asked = {"id": batch_id, "state": state, "after": after, "most": most}
    return _payments(conn.execute(_BATCH_ROWS, asked))


# ---- everything -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Due:
    """What is due for one step: all that carries it, how many of these now, how many of these late."""

    step: str
    scheduled: int
    due: int
    overdue: int
    next_at: datetime | None


@dataclass(frozen=True, slots=True)
class AtGateway:
    """What one gateway took and gave back, by our books; amounts in minor units."""

    gateway: str
    currency: str
    approved: int
    approved_minor: int
    returned: int
    returned_minor: int
    declined: int
    open: int  # sales whose outcome is not known yet


@dataclass(frozen=True, slots=True)
class Waiting:
    """A payment on which a person must decide, and why."""

    payment_id: int
    state: str
    why: str


@dataclass(frozen=True, slots=True)
class Event:
    """One line of history."""

    at: datetime
    what: str
    from_state: str | None
    to_state: str | None
    why: str
    by: str
    payment_id: int | None = None
    invoice_id: int | None = None
    gateway_transaction_id: int | None = None


@dataclass(frozen=True, slots=True)
class Overall:
    """Where everything stands."""

    at: datetime
    payments_by_state: dict[str, int]
    invoices_by_state: dict[str, int]
    sums: tuple[Sums, ...]
    due: tuple[Due, ...]
    unknown_outcomes: tuple[Waiting, ...]
    in_review: tuple[Waiting, ...]
    refunds_awaiting_approval: tuple[Waiting, ...]
    failed_reversals: tuple[Waiting, ...]
    failed_refunds: tuple[Waiting, ...]  # of posted payments, of late: nothing moved
    open_disputes: tuple[Waiting, ...]
    alarms: tuple[Event, ...]
    gateways: tuple[AtGateway, ...]
    open_batches: tuple[tuple[int, str], ...]
    latest: tuple[PaymentStatus, ...]


_PAYMENT_STATES = text("SELECT state, count(*) AS count FROM payments GROUP BY 1 ORDER BY 1")
_INVOICE_STATES = text("SELECT state, count(*) AS count FROM invoices GROUP BY 1 ORDER BY 1")
_DUE = text("""
    SELECT step, count(*) AS scheduled, count(*) FILTER (WHERE due_at <= :now) AS due,
           count(*) FILTER (WHERE due_at <= :late) AS overdue, min(due_at) AS next_at
    FROM (
        SELECT next_step AS step, due_at FROM payments WHERE next_step IS NOT NULL
        UNION ALL SELECT next_step, due_at FROM gateway_transactions WHERE next_step IS NOT NULL
        UNION ALL SELECT next_step, due_at FROM reversals WHERE next_step IS NOT NULL
    ) AS steps GROUP BY step ORDER BY step""")
_UNKNOWN = text("""
    SELECT payment_id, state, 'asked ' || asked || ' times; ' || message AS why FROM gateway_transactions
    WHERE operation = 'sale' AND state IN ('unknown', 'review') ORDER BY id LIMIT :most""")
_REVIEW = text(
    "SELECT id AS payment_id, state, reason AS why FROM payments WHERE state = 'review' ORDER BY id LIMIT :most"
)
_REVERSALS = text("""
    SELECT payment_id, state, reason AS why FROM reversals
    WHERE purpose = 'void' AND state = :state ORDER BY id LIMIT :most""")
_DISPUTES = text("""
    SELECT payment_id, state, 'case ' || reference || ': ' || reason AS why FROM disputes
    WHERE state = 'open' ORDER BY id LIMIT :most""")
_EVENT: Final = (
    "SELECT at, what, from_state, to_state, why, by, payment_id, invoice_id, gateway_transaction_id FROM events"
)
# By ix_events_alarms: alarms are few, and events are many.
_ALARMS = text(f"{_EVENT} WHERE what LIKE 'alarm.%' AND at > :since ORDER BY id DESC LIMIT :most")
_GATEWAYS = text("""
    SELECT gateway, currency, count(*) FILTER (WHERE state IN ('approved', 'surplus')) AS approved,
           CAST(coalesce(sum(amount_minor) FILTER (WHERE state IN ('approved', 'surplus')), 0) AS bigint)
               AS approved_minor,
           CAST(coalesce(sum(returned), 0) AS bigint) AS returned,
           CAST(coalesce(sum(returned_minor), 0) AS bigint) AS returned_minor,
           count(*) FILTER (WHERE state = 'declined') AS declined,
           count(*) FILTER (WHERE state IN ('started', 'unknown', 'review')) AS open
    FROM gateway_transactions t
    LEFT JOIN (SELECT sale_id, count(*) AS returned, sum(amount_minor) AS returned_minor FROM reversals
               WHERE state IN ('voided', 'refund_accepted', 'refunded') GROUP BY 1) r ON r.sale_id = t.id
    WHERE operation = 'sale' GROUP BY 1, 2 ORDER BY 1, 2""")
_OPEN_BATCHES = text("SELECT id, label FROM batches WHERE state = 'open' ORDER BY id DESC LIMIT :most")


def _waiting(rows: Iterable[Row[Any]]) -> tuple[Waiting, ...]:
    return tuple(Waiting(**row._mapping) for row in rows)


def overall(conn: Connection, now: datetime, most: int = 10) -> Overall:
    """Where everything stands, with at most so many of each kind of row."""
    few = {"most": most}
    since = {"since": now - ALARMS_AGE, "most": ALARMS_SHOWN}
    return Overall(
        at=now,
        payments_by_state={row[0]: row[1] for row in conn.execute(_PAYMENT_STATES)},
        invoices_by_state={row[0]: row[1] for row in conn.execute(_INVOICE_STATES)},
        sums=_sums(conn.execute(_ALL_SUMS)),
        due=tuple(Due(**row._mapping) for row in conn.execute(_DUE, {"now": now, "late": now - GRACE})),
        unknown_outcomes=_waiting(conn.execute(_UNKNOWN, few)),
        in_review=_waiting(conn.execute(_REVIEW, few)),
        refunds_awaiting_approval=_waiting(conn.execute(_REVERSALS, {**few, "state": "refund_awaiting_approval"})),
        failed_reversals=_waiting(conn.execute(_REVERSALS, {**few, "state": "failed"})),
        failed_refunds=tuple(
            Waiting(row.payment_id, "failed", row.why)
            for row in conn.execute(waiting.ITEMS[waiting.Kind.PART_FAILED], waiting.known(now, most))
        ),
        open_disputes=_waiting(conn.execute(_DISPUTES, few)),
        alarms=tuple(Event(**row._mapping) for row in conn.execute(_ALARMS, since)),
        gateways=tuple(AtGateway(**row._mapping) for row in conn.execute(_GATEWAYS)),
        open_batches=tuple((row.id, row.label) for row in conn.execute(_OPEN_BATCHES, few)),
        latest=_payments(conn.execute(_LATEST, few)),
    )


# ---- a payment's story ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Heard:
    """What a gateway, or a person, said about an attempt, redacted."""

    at: datetime
    kind: str  # reply, inquiry, person
    http_status: int | None
    said: dict[str, str]


@dataclass(frozen=True, slots=True)
class Attempt:
    """One operation at a gateway. `reference` is ours, in the base 36 that goes over some wires."""

    gateway_transaction_id: int
    operation: str
    gateway: str
    account: str
    reference: str
    reference_decimal: int
    amount_minor: int
    currency: str
    state: str
    transaction_id: str
    code: str
    message: str
    decline_class: str | None
    sends: int
    asked: int
    next_step: str | None
    due_at: datetime | None
    started_at: datetime
    finished_at: datetime | None
    evidence: tuple[Heard, ...]


@dataclass(frozen=True, slots=True)
class NamedInvoice:
    """An invoice that the request named, in its order; at most `cap_minor` was to go to it."""

    invoice: str
    state: str
    total_minor: int
    balance_minor: int
    cap_minor: int | None


@dataclass(frozen=True, slots=True)
class Application:
    """What a payment or its credit paid of an invoice; live is what was not reversed."""

    allocation_id: int
    invoice: str
    amount_minor: int
    reversed_minor: int
    at: datetime
    reversed_at: datetime | None
    credit_id: int | None


@dataclass(frozen=True, slots=True)
class CreditMade:
    """A credit that came of the payment."""

    credit_id: int
    amount_minor: int
    balance_minor: int
    taken_back_minor: int
    note: str
    at: datetime


@dataclass(frozen=True, slots=True)
class ReversalStatus:
    """Getting money back to the card, as far as it came: all of a voided payment's, or a refund of a posted one."""

    reversal_id: int
    purpose: str  # void or refund
    state: str
    policy: str
    reason: str
    amount_minor: int
    currency: str
    next_step: str | None
    due_at: datetime | None
    voids: int
    refunds: int
    started_at: datetime
    started_by: str
    ended_at: datetime | None


@dataclass(frozen=True, slots=True)
class DisputeStatus:
    """A charge that the payer's bank disputes, or disputed."""

    dispute_id: int
    reference: str  # the case
    state: str
    reason: str
    amount_minor: int
    currency: str
    opened_at: datetime
    opened_by: str
    ended_at: datetime | None
    ended_by: str | None
    ended_why: str | None


@dataclass(frozen=True, slots=True)
class Story:
    """All that is known of a payment."""

    payment: PaymentStatus
    invoices: tuple[NamedInvoice, ...]  # empty: oldest first
    attempts: tuple[Attempt, ...]
    applications: tuple[Application, ...]
    applications_count: int
    credits: tuple[CreditMade, ...]
    reversals: tuple[ReversalStatus, ...]
    disputes: tuple[DisputeStatus, ...]
    events: tuple[Event, ...]
    archives: tuple[str, ...]  # the manifests of those that hold older events and evidence


APPLICATIONS_SHOWN: Final = 100
"""Invoices of one payment that a story names; the rest is counted."""

_NAMED = text("""
    SELECT i.number AS invoice, i.state, i.total_minor, i.balance_minor, n.cap_minor
    FROM payments p CROSS JOIN LATERAL unnest(p.invoice_ids, p.caps_minor) WITH ORDINALITY
         AS n(invoice_id, cap_minor, place) JOIN invoices i ON i.id = n.invoice_id
    WHERE p.id = :id ORDER BY n.place LIMIT :most""")
_ATTEMPTS = text("SELECT * FROM gateway_transactions WHERE payment_id = :id ORDER BY id")
_EVIDENCE = text("""
    SELECT e.gateway_transaction_id, e.at, e.kind, e.http_status, e.said FROM evidence e
    WHERE e.gateway_transaction_id = ANY(CAST(:ids AS bigint[])) ORDER BY e.id""")
# An array of the credits, and no subquery, since OR finds both by their indexes then.
_APPLICATIONS = text("""
    SELECT a.id AS allocation_id, i.number AS invoice, a.amount_minor, a.reversed_minor, a.created_at AS at,
           a.reversed_at, a.credit_id, count(*) OVER () AS in_all
    FROM allocations a JOIN invoices i ON i.id = a.invoice_id
    WHERE a.payment_id = :id OR a.credit_id = ANY(ARRAY(SELECT id FROM credits WHERE payment_id = :id))
    ORDER BY a.id LIMIT :most""")
_CREDITS = text("""
    SELECT id AS credit_id, amount_minor, balance_minor, taken_back_minor, note, created_at AS at
    FROM credits WHERE payment_id = :id ORDER BY id""")
_REVERSALS_OF = text("""
    SELECT id AS reversal_id, purpose, state, policy, reason, amount_minor, currency, next_step, due_at, voids, refunds,
           started_at, started_by, ended_at
    FROM reversals WHERE payment_id = :id ORDER BY id""")
_DISPUTES_OF = text("""
    SELECT id AS dispute_id, reference, state, reason, amount_minor, currency, opened_at, opened_by, ended_at, ended_by,
           ended_why
    FROM disputes WHERE payment_id = :id ORDER BY id""")
_EVENTS_OF = text(f"{_EVENT} WHERE payment_id = :id AND what NOT LIKE 'invoice.%' ORDER BY id")
_DIGITS: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def base36(number: int) -> str:
    """A merchant reference in the twelve characters that go over the wire where no more are to be had (E2)."""
    digits = ""
    while number:
        number, rest = divmod(number, 36)
        digits = _DIGITS[rest] + digits
    return digits.rjust(12, "0")


def story(conn: Connection, payment_id: int) -> Story:
    """A payment's whole story. Raises NotFound."""
    found = payment(conn, payment_id)
    one, many = {"id": payment_id}, {"id": payment_id, "most": APPLICATIONS_SHOWN}
    rows = conn.execute(_ATTEMPTS, one).all()
    heard: dict[int, list[Heard]] = {row.id: [] for row in rows}
    for said in conn.execute(_EVIDENCE, {"ids": list(heard)}):
        heard[said.gateway_transaction_id].append(Heard(said.at, said.kind, said.http_status, said.said))
    applied = conn.execute(_APPLICATIONS, many).all()
    return Story(
        payment=found,
        invoices=tuple(NamedInvoice(**row._mapping) for row in conn.execute(_NAMED, many)),
        attempts=tuple(_attempt(row, tuple(heard[row.id])) for row in rows),
        applications=tuple(Application(*row[:-1]) for row in applied),
        applications_count=applied[0].in_all if applied else 0,
        credits=tuple(CreditMade(**row._mapping) for row in conn.execute(_CREDITS, one)),
        reversals=tuple(ReversalStatus(**row._mapping) for row in conn.execute(_REVERSALS_OF, one)),
        disputes=disputes(conn, payment_id),
        events=tuple(Event(**row._mapping) for row in conn.execute(_EVENTS_OF, one)),
        archives=archive.holding(conn, payment_id),
    )


def disputes(conn: Connection, payment_id: int) -> tuple[DisputeStatus, ...]:
    """A payment's disputes, the oldest first."""
    return tuple(DisputeStatus(**row._mapping) for row in conn.execute(_DISPUTES_OF, {"id": payment_id}))


def _attempt(row: Row[Any], evidence: tuple[Heard, ...]) -> Attempt:
    return Attempt(
        gateway_transaction_id=row.id,
        operation=row.operation,
        gateway=row.gateway,
        account=row.account,
        reference=base36(row.reference),
        reference_decimal=row.reference,
        amount_minor=row.amount_minor,
        currency=row.currency,
        state=row.state,
        transaction_id=row.transaction_id,
        code=row.code,
        message=row.message,
        decline_class=row.decline_class,
        sends=row.sends,
        asked=row.asked,
        next_step=row.next_step,
        due_at=row.due_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
        evidence=evidence,
    )


# ---- what people's decisions need to find ---------------------------------------------------------------------------

_CUSTOMER = text("SELECT id FROM customers WHERE number = :number")
_INVOICES_NAMED = text("""
    SELECT n.number, i.id FROM unnest(CAST(:numbers AS text[])) WITH ORDINALITY AS n(number, place)
    LEFT JOIN invoices i ON i.customer_id = :customer_id AND i.currency = :currency AND i.number = n.number
    ORDER BY n.place""")


def customer(conn: Connection, number: str) -> int:
    """A customer's id by its number. Raises NotFound."""
    found: int | None = conn.execute(_CUSTOMER, {"number": number}).scalar_one_or_none()
    if found is None:
        raise NotFound(f"There is no customer {shown(number)}.", "Compare the number.")
    return found


def invoices_named(conn: Connection, customer_id: int, currency: str, numbers: Sequence[str]) -> list[int]:
    """The ids of a customer's invoices in a currency, in the order given. Raises NotFound for the first missing one."""
    asked = {"numbers": list(numbers), "customer_id": customer_id, "currency": currency}
    rows = conn.execute(_INVOICES_NAMED, asked).all()
    for row in rows:
        if row.id is None:
            raise NotFound(f"The customer has no invoice {shown(row.number)} in {currency}.", "Compare the number.")
    return [row.id for row in rows]


def card_of_its_own(conn: Connection, payment_id: int) -> str | None:
    """The token of a card that came with this payment, for it alone, and is not needed now that it has ended (C2)."""
    return next(iter(kept_cards.spent(conn, [payment_id])), None)


_POSTED_CHARGE = text("""
    SELECT min(id) FROM payments WHERE batch_id = :id AND state = 'posted' AND gateway IS NOT NULL""")
_VOIDED_CHARGE = text("""
    SELECT min(id) FROM payments WHERE batch_id = :id AND state = 'voided' AND gateway IS NOT NULL""")


def posted_charge(conn: Connection, batch_id: int) -> int | None:
    """The first charged payment of a batch that is posted."""
    found: int | None = conn.execute(_POSTED_CHARGE, {"id": batch_id}).scalar_one()
    return found


def voided_charge(conn: Connection, batch_id: int) -> int | None:
    """The first charged payment of a batch that was voided."""
    found: int | None = conn.execute(_VOIDED_CHARGE, {"id": batch_id}).scalar_one()
    return found
