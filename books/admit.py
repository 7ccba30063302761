"""The last look at new requests before they are committed: what depends on balances and on other payments (R1, R8a).

It happens at the end of the transaction that recorded them and takes its customers' locks there, all in one statement
and in ascending order (B3), so that a long recording holds nobody up. The statements read sets, never pairs: their cost
grows with the number of payments, also where 10,000 of them are one customer's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, text

from books.history import tell
from books.plans import PLANNED
from rules import states
from rules.errors import Fault, shown
from rules.overlap import Claim, UnderWay, too_much, unknown_beside

PAYS_NOTHING: Final = Fault(
    "invoices", "", "nothing is owed that this payment could be applied to", "Say as_credit to keep the sum as a credit"
)
"""What is wrong with a request that would pay nothing at entry (R1)."""


def is_void(number: str) -> Fault:
    """What is wrong with a request that names an invoice which is void (R1)."""
    return Fault("invoices", shown(number), "the invoice is void", "Leave it out")


_GROUP: Final = 1_000
_STATES: Final = ", ".join(f"'{state.value}'" for state in states.UNDER_WAY)


@dataclass(frozen=True, slots=True)
class Fresh:
    """The payments that this transaction recorded, by ascending id; all of one batch, or of none.

    `cards`: whether any of them is to be charged at a gateway.
    """

    payment_ids: Sequence[int]
    cards: bool
    batch_id: int | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """A payment that must not be committed, and why."""

    payment_id: int
    fault: Fault


# Ids of others stand between ours where somebody else records at the same time; they are of no batch or of another one.
_OURS: Final = "p.id BETWEEN :first AND :last AND p.batch_id IS NOT DISTINCT FROM CAST(:batch_id AS bigint)"
_UNDER_WAY: Final = f"p.gateway IS NOT NULL AND p.state IN ({_STATES}) AND NOT {PLANNED}"
_OUR_CUSTOMERS: Final = f"ARRAY(SELECT DISTINCT p.customer_id FROM payments p WHERE {_OURS} AND p.gateway IS NOT NULL)"

# OFFSET keeps the planner from reading all invoices for each payment, which it does where it knows no statistics yet.
_ONE_INVOICE: Final = "SELECT balance_minor FROM invoices WHERE id = n.invoice_id AND state = 'pending' OFFSET 0"

_LOCK = text(f"""
    SELECT count(*) FROM (
        SELECT id FROM customers WHERE id IN (SELECT p.customer_id FROM payments p WHERE {_OURS})
        ORDER BY id FOR NO KEY UPDATE) AS locked""")
# owed_at_request_minor was read when the payment was inserted; only what has changed since is written again. An invoice
# that was voided since is among what has changed.
_OWED = text(f"""
    WITH asked AS (
        SELECT id, customer_id, currency, invoice_ids, caps_minor, as_credit, owed_at_request_minor
        FROM payments WHERE id = ANY(CAST(:ids AS bigint[]))
    ), whole AS MATERIALIZED (
        SELECT o.customer_id, o.currency, (
            SELECT coalesce(sum(i.balance_minor), 0) FROM invoices i
            WHERE i.customer_id = o.customer_id AND i.currency = o.currency AND i.state = 'pending') AS owed
        FROM (SELECT DISTINCT customer_id, currency FROM asked WHERE invoice_ids IS NULL) AS o
    ), owing AS MATERIALIZED (
        SELECT a.id, a.invoice_ids, a.as_credit, a.owed_at_request_minor AS before,
            CASE WHEN a.invoice_ids IS NULL
                THEN (SELECT w.owed FROM whole w WHERE w.customer_id = a.customer_id AND w.currency = a.currency)
                ELSE (SELECT coalesce(sum(least(i.balance_minor, n.cap)), 0)
                      FROM unnest(a.invoice_ids, a.caps_minor) AS n(invoice_id, cap)
                      CROSS JOIN LATERAL ({_ONE_INVOICE}) AS i)
            END AS owed
        FROM asked a
    ), changed AS (
        UPDATE payments SET owed_at_request_minor = o.owed FROM owing o
        WHERE payments.id = o.id AND o.owed <> o.before
    )
    SELECT id, void FROM owing CROSS JOIN LATERAL (
        SELECT min(i.number) AS void FROM invoices i
        WHERE owed <> before AND i.id = ANY(invoice_ids) AND i.state = 'void') AS v
    WHERE void IS NOT NULL OR (owed = 0 AND NOT as_credit)""")

# What each payment under way that names invoices would take of each, and of these the ones that are wanted for more
# than they owe. Customers with a single such payment are left out first: nothing can overlap there.
_CLAIMS = text(f"""
    WITH wanted AS MATERIALIZED (
        SELECT p.id, p.total_minor, p.invoice_ids, p.caps_minor, p.allow_overlap, {_OURS} AS new
        FROM payments p
        WHERE {_UNDER_WAY} AND p.invoice_ids IS NOT NULL AND p.customer_id = ANY(ARRAY(
            SELECT p.customer_id FROM payments p WHERE {_UNDER_WAY} AND p.customer_id = ANY({_OUR_CUSTOMERS})
            GROUP BY p.customer_id HAVING count(*) > 1))
    ), claims AS MATERIALIZED (
        SELECT w.id, w.new, w.allow_overlap, s.invoice_id, s.balance,
               least(s.takes, w.total_minor - s.before) AS amount
        FROM wanted w CROSS JOIN LATERAL (
            SELECT n.invoice_id, i.balance_minor AS balance, least(i.balance_minor, n.cap) AS takes,
                   coalesce(sum(least(i.balance_minor, n.cap)) OVER (
                       ORDER BY n.place ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS before
            FROM unnest(w.invoice_ids, w.caps_minor) WITH ORDINALITY AS n(invoice_id, cap, place)
            CROSS JOIN LATERAL ({_ONE_INVOICE}) AS i
        ) AS s
        WHERE s.before < w.total_minor
    )
    SELECT id, new, allow_overlap, invoice_id, balance, CAST(amount AS bigint) AS amount FROM (
        SELECT c.*, sum(amount) OVER one_invoice AS all_amounts, count(*) OVER one_invoice AS payments
        FROM claims c WINDOW one_invoice AS (PARTITION BY invoice_id)
    ) AS c
    WHERE payments > 1 AND all_amounts > balance""")
# Where a payment that names no invoice is under way, all of its customer's are meant for what is owed in all.
_CROWDED = text(f"""
    SELECT p.customer_id, p.currency, CAST((
        SELECT coalesce(sum(i.balance_minor), 0) FROM invoices i
        WHERE i.customer_id = p.customer_id AND i.currency = p.currency AND i.state = 'pending') AS bigint) AS owed
    FROM payments p
    WHERE {_UNDER_WAY} AND p.customer_id = ANY({_OUR_CUSTOMERS})
    GROUP BY p.customer_id, p.currency
    HAVING count(*) > 1 AND bool_or(p.invoice_ids IS NULL) AND sum(p.total_minor) > (
        SELECT coalesce(sum(i.balance_minor), 0) FROM invoices i
        WHERE i.customer_id = p.customer_id AND i.currency = p.currency AND i.state = 'pending')""")
_OF_CROWDED = text(f"""
    SELECT p.id, p.customer_id, p.currency, p.total_minor, p.allow_overlap, {_OURS} AS new FROM payments p
    WHERE {_UNDER_WAY} AND p.customer_id = ANY(CAST(:customer_ids AS bigint[]))""")
_UNKNOWN = text(f"""
    SELECT p.id, p.customer_id, p.currency, p.invoice_ids FROM payments p
    WHERE {_UNDER_WAY} AND p.customer_id = ANY({_OUR_CUSTOMERS}) AND p.state <> 'requested' AND EXISTS (
        SELECT FROM gateway_transactions t
        WHERE t.payment_id = p.id AND t.operation = 'sale' AND t.state = 'unknown')
    ORDER BY p.id""")
_NEW_BESIDE_UNKNOWN = text(f"""
    SELECT p.id, p.customer_id, p.currency, p.invoice_ids FROM payments p
    WHERE {_OURS} AND p.gateway IS NOT NULL AND p.customer_id = ANY(CAST(:customer_ids AS bigint[])) AND NOT {PLANNED}
    ORDER BY p.id""")
_ALIKE = text("""
    SELECT id FROM (
        SELECT id, first_value(id) OVER (PARTITION BY content_digest ORDER BY id) AS first
        FROM payments WHERE batch_id = :batch_id
    ) AS p WHERE id <> first AND id BETWEEN :first AND :last ORDER BY id""")
_DROP = text("DELETE FROM payments WHERE id = ANY(CAST(:ids AS bigint[]))")
_TELL = text(f"""
    INSERT INTO events (at, what, customer_id, payment_id, batch_id, to_state, by)
    SELECT :now, 'payment.requested', p.customer_id, p.id, p.batch_id, 'requested', :by
    FROM payments p WHERE {_OURS} ORDER BY p.id""")


def admit(conn: Connection, fresh: Fresh, refuse_alike: bool = False, allow_unknown: bool = False) -> list[Refusal]:
    """Lock the customers and return the payments that must not be committed, each once, by id.

    `refuse_alike`: of payments that ask for the same word by word only the first may pass (rows of a file that have
    no keys of their own). `allow_unknown`: somebody with the right to it said that they may overlap with a charge
    whose outcome is unknown (R8a).
    """
    if not fresh.payment_ids:
        return []
    ours = _ours(fresh)
    conn.execute(_LOCK, ours).scalar_one()
    refusals: dict[int, Fault] = {}
    for ids in _groups(fresh.payment_ids):
        for payment_id, voided in conn.execute(_OWED, {"ids": ids}):
            refusals[payment_id] = PAYS_NOTHING if voided is None else is_void(voided)
    if fresh.cards:
        for payment_id in _too_much(conn, ours):
            refusals.setdefault(payment_id, OVERLAP)
        for payment_id, other in () if allow_unknown else _beside_unknown(conn, ours):
            refusals[payment_id] = _unknown(other)
    if refuse_alike:
        for payment_id in conn.execute(_ALIKE, ours).scalars():
            refusals[payment_id] = _ALIKE_ROWS
    return [Refusal(payment_id, refusals[payment_id]) for payment_id in sorted(refusals)]


def drop(conn: Connection, refusals: Sequence[Refusal]) -> None:
    """Take refused payments out again, so that the rest of their batch can be committed."""
    for ids in _groups([refusal.payment_id for refusal in refusals]):
        conn.execute(_DROP, {"ids": ids})


def announce(conn: Connection, fresh: Fresh, now: datetime, by: str) -> None:
    """Append the event `payment.requested` of every payment that passed."""
    if fresh.payment_ids:
        conn.execute(_TELL, {**_ours(fresh), "now": now, "by": by})


def announce_although_unknown(conn: Connection, fresh: Fresh, now: datetime, by: str) -> None:
    """Append an event for every payment that passed beside a charge whose outcome is unknown: who allowed it (R8a)."""
    for payment_id, other in _beside_unknown(conn, _ours(fresh)):
        why = f"allowed although the outcome of payment {other} is unknown"
        tell(conn, "payment.allowed_although_unknown", now, by, why, payment_id=payment_id)


def _ours(fresh: Fresh) -> dict[str, int | None]:
    return {"first": fresh.payment_ids[0], "last": fresh.payment_ids[-1], "batch_id": fresh.batch_id}


def _groups(ids: Sequence[int]) -> Iterator[list[int]]:
    for start in range(0, len(ids), _GROUP):
        yield list(ids[start : start + _GROUP])


def _too_much(conn: Connection, ours: dict[str, int | None]) -> list[int]:
    claims = [
        Claim(row.id, row.invoice_id, row.amount, row.balance, row.new, row.allow_overlap)
        for row in conn.execute(_CLAIMS, ours)
    ]
    crowded = {(row.customer_id, row.currency): row.owed for row in conn.execute(_CROWDED, ours)}
    if crowded:
        customer_ids = list({customer_id for customer_id, _ in crowded})
        claims += [
            Claim(row.id, pot, row.total_minor, crowded[pot], row.new, row.allow_overlap)
            for row in conn.execute(_OF_CROWDED, {**ours, "customer_ids": customer_ids})
            if (pot := (row.customer_id, row.currency)) in crowded
        ]
    return too_much(sorted(claims, key=lambda claim: (claim.new, claim.payment_id)))


def _beside_unknown(conn: Connection, ours: dict[str, int | None]) -> list[tuple[int, int]]:
    unknown = [UnderWay(*row) for row in conn.execute(_UNKNOWN, ours)]
    if not unknown:
        return []
    customer_ids = list({one.customer_id for one in unknown})
    rows = conn.execute(_NEW_BESIDE_UNKNOWN, {**ours, "customer_ids": customer_ids})
    return unknown_beside(unknown, (UnderWay(*row) for row in rows))


OVERLAP: Final = Fault(
    "amount",
    "",
    "with the card payments under way it exceeds what the invoices owe",
    "Wait until those have ended, or say allow_overlap if both are meant",
)
"""What is wrong with a request that overlaps (R8a)."""

UNTIL_KNOWN: Final = "Wait until it is known: the gateway is being asked"
"""How to mend a request that overlaps with a charge whose outcome is unknown (R8a, B01)."""

_ALIKE_ROWS: Final = Fault(
    "row",
    "",
    "a row before it asks for the very same payment",
    "Take one of them out, or give each a key of its own in a column idempotency_key if both are meant",
)


def _unknown(payment_id: int) -> Fault:
    problem = f"the outcome of payment {payment_id}, which is meant for the same invoices, is unknown"
    return Fault("invoices", "", problem, UNTIL_KNOWN)
