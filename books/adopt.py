"""Charges that a gateway's report tells of and the books do not, after a restore (E7): taken in, never made again.

A charge whose payment still waits here is recorded as that payment's: so it is not charged a second time. One whose
payment is unknown here becomes a payment of the customer whom a person names; what pays the same invoices again then
finds nothing owed (R1, R8), and what comes again under the same key is refused or answered with this payment (R15).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import Connection, Row, text

from books import claim, reconcile, refund, reverse, void
from books.history import Move, Subject, advance, tell
from books.outcome import Heard, finish
from books.tally import Tally
from books.terms import Terms, draw_reference
from rules import states
from rules.errors import MoveRefused, NotFound
from rules.outcomes import Found, Standing
from rules.reconciling import Kind
from rules.reversal import Step

_CLOCKS: Final = timedelta(minutes=5)
"""So far the gateway's clock may be behind: a charge that seems older than its payment."""
_OURS: Final = "l.reference BETWEEN 1000000000000000000 AND 4738381338321616895"  # E2: where ours are drawn from

_LINE: Final = text("""
    SELECT l.*, r.gateway, r.digest FROM report_lines l JOIN reports r ON r.id = l.report_id
    WHERE l.report_id = :report AND l.line = :line AND l.finding = 'missing_here' AND l.applied_at IS NULL
      AND l.kind = ANY(CAST(:kinds AS text[])) FOR NO KEY UPDATE OF l""")
_WAITING: Final = """
    p.gateway = r.gateway AND p.currency = l.currency AND p.total_minor = l.amount_minor
    AND p.state IN ('requested', 'retrying')"""
# One waiting payment for the charge, and one charge for the payment: else a person must say which is whose. A charge
# that is older than the payment counts, too: the payment may be that one, asked for again after the restore. So does a
# payment planned for a later day than the charge's, anywhere on earth: it may have been moved since.
_PAIRS: Final = text(f"""
    WITH pairs AS (
        SELECT l.line, l.amount_minor, l.currency, p.id AS payment_id,
               count(*) OVER (PARTITION BY l.id) AS payments, count(*) OVER (PARTITION BY p.id) AS charges,
               p.recorded_at <= l.at + CAST(:clocks AS interval)
               AND (p.run_on IS NULL OR p.run_on <= l.at AT TIME ZONE 'UTC' + interval '14 hours') AS in_time
        FROM report_lines l JOIN reports r ON r.id = l.report_id JOIN payments p ON {_WAITING}
        WHERE l.report_id = :report AND l.finding = 'missing_here' AND l.kind = 'sale' AND l.applied_at IS NULL
          AND {_OURS} AND p.next_step = 'charge'
    )
    SELECT line, payment_id, amount_minor, currency FROM pairs
    WHERE payments = 1 AND charges = 1 AND in_time ORDER BY line""")


@dataclass(frozen=True, slots=True)
class Pair:
    """A charge of the report, and the one payment that waits here for just that sum."""

    line: int
    payment_id: int
    amount_minor: int
    currency: str


@dataclass(frozen=True, slots=True)
class NewPayment:
    """What a person says of a charge whose payment is unknown here; no invoices: oldest first.

    `caller` and `key` are those of the lost request, where they are known, so that it finds its key used.
    """

    customer: str
    invoices: Sequence[str] = ()
    caller: str = "adopted"
    key: str = ""
    last_four: str = ""


def pairs(conn: Connection, report_id: int) -> list[Pair]:
    """Charges missing here that fit exactly one waiting payment, and it no other of them."""
    rows = conn.execute(_PAIRS, {"report": report_id, "clocks": _CLOCKS})
    return [Pair(row.line, row.payment_id, row.amount_minor, row.currency) for row in rows]


_CUSTOMER_OF = text("SELECT customer_id FROM payments WHERE id = :id")
_PAYMENT = text("SELECT * FROM payments WHERE id = :id FOR NO KEY UPDATE")


def as_payment(
    conn: Connection, report_id: int, line: int, payment_id: int, terms: Terms, now: datetime, by: str, why: str
) -> Tally:
    """Record a charge of the report as that of a payment that waits here: it is posted, and not charged again.

    Raises NotFound where the report has no such charge that is missing here, or there is no such payment; MoveRefused
    where the payment does not wait to be charged, or was to be charged elsewhere or in another currency.
    """
    found = _line(conn, report_id, line)
    customer_id = conn.execute(_CUSTOMER_OF, {"id": payment_id}).scalar_one_or_none()
    if customer_id is None:
        raise NotFound(f"There is no payment {payment_id}.", "`defray status` lists payments.")
    claim.customers(conn, [customer_id])
    payment = conn.execute(_PAYMENT, {"id": payment_id}).one()
    if payment.state not in {states.Payment.REQUESTED, states.Payment.RETRYING} or payment.gateway is None:
        raise MoveRefused(
            f"Payment {payment_id} does not wait to be charged: it is {payment.state}.",
            "What is being charged is looked up by its own reference.",
        )
    if (payment.gateway, payment.currency) != (found.gateway, found.currency):
        raise MoveRefused(
            f"Payment {payment_id} is of {payment.currency} at {payment.gateway}, the charge of {found.currency}"
            f" at {found.gateway}.",
            "Name another payment, or the customer.",
        )
    return _record(conn, found, payment, terms, now, by, why)


_CUSTOMER = text("SELECT id FROM customers WHERE number = :number")
_INVOICES = text("""
    SELECT i.number, i.id, i.balance_minor FROM invoices i
    WHERE i.customer_id = :customer_id AND i.number = ANY(CAST(:numbers AS text[])) AND i.currency = :currency""")
_NEW = text("""
    INSERT INTO payments (caller, idempotency_key, content_digest, customer_id, method, currency, total_minor, notes,
                          as_credit, allow_overlap, when_owed_less, owed_at_request_minor, invoice_ids, caps_minor,
                          card_token, card_last_four, card_once, gateway, state, next_step, due_at,
                          recorded_at, recorded_by)
    VALUES (:caller, :key, :digest, :customer_id, 'credit_card', :currency, :amount, :notes,
            true, true, 'charge_all', :amount, CAST(:invoice_ids AS bigint[]), CAST(:caps AS bigint[]),
            :card_token, :last_four, true, :gateway, 'requested', 'charge', :now, :now, :by)
    ON CONFLICT (caller, idempotency_key) DO NOTHING RETURNING *""")


def as_new_payment(
    conn: Connection, report_id: int, line: int, told: NewPayment, terms: Terms, now: datetime, by: str, why: str
) -> Tally:
    """Record a charge of the report as a payment of its own, of the customer and for the invoices that a person names.

    What the invoices do not take is the customer's credit (R3). Raises NotFound, or MoveRefused where the key is used.
    """
    found = _line(conn, report_id, line)
    customer_id = conn.execute(_CUSTOMER, {"number": told.customer}).scalar_one_or_none()
    if customer_id is None:
        raise NotFound(f"There is no customer {told.customer}.", "Import the customer first.")
    claim.customers(conn, [customer_id])
    asked = {"customer_id": customer_id, "numbers": list(told.invoices), "currency": found.currency}
    invoices = {row.number: row for row in conn.execute(_INVOICES, asked)}
    missing = [number for number in told.invoices if number not in invoices]
    if missing:
        raise NotFound(f"{told.customer} has no invoice {', '.join(missing)} in {found.currency}.", "Import it first.")
    name = f"{found.gateway} {found.transaction_id or found.reference}"
    payment = conn.execute(
        _NEW,
        {
            "caller": told.caller,
            "key": told.key or name,
            "digest": hashlib.sha256(f"adopted: {name}".encode()).digest(),
            "customer_id": customer_id,
            "currency": found.currency,
            "amount": found.amount_minor,
            "notes": f"charged before a restore: {why}",
            "invoice_ids": [invoices[number].id for number in told.invoices] or None,
            "caps": [found.amount_minor for _ in told.invoices] or None,
            "card_token": f"adopted {name}",
            "last_four": told.last_four or None,
            "gateway": found.gateway,
            "now": now,
            "by": by,
        },
    ).one_or_none()
    if payment is None:
        raise MoveRefused(f"{told.caller} used the key {told.key or name} for another payment.", "Name that payment.")
    tell(conn, "payment.requested", now, by, why, customer_id=customer_id, payment_id=payment.id)
    return _record(conn, found, payment, terms, now, by, why)


_TO_RETURN = text("""
    SELECT id, state FROM reversals
    WHERE payment_id = :payment_id AND sale_id = :sale_id AND amount_minor = :amount
      AND state IN ('voiding', 'refund_due', 'refund_awaiting_approval', 'failed')
    ORDER BY state = 'failed', id LIMIT 1 FOR NO KEY UPDATE""")
_REFUND = text("""
    INSERT INTO gateway_transactions (payment_id, operation, gateway, account, reference, sale_id, reversal_id,
                                      amount_minor, currency, state, send_until, started_at)
    SELECT payment_id, 'refund', gateway, account, :reference, id, :reversal_id, :amount, currency, 'started', :at, :at
    FROM gateway_transactions WHERE id = :sale_id RETURNING id""")
_AS_REFUND = text("""
    UPDATE report_lines SET gateway_transaction_id = :refund_id, payment_id = :payment_id, applied_at = :now,
                            applied_by = :by, became = (SELECT state FROM reversals WHERE id = :reversal_id)
    WHERE id = :id""")


def as_refund(
    conn: Connection, report_id: int, line: int, payment_id: int, terms: Terms, now: datetime, by: str, why: str
) -> None:
    """Record a refund of the report as that of a charged payment: what waits to be returned so is not sent.

    Where no return of that sum waits, it is a refund of a part (R17). Raises NotFound; MoveRefused or RequestRefused
    where the payment was not charged so, or not so much of it is left.
    """
    found = _line(conn, report_id, line, (Kind.REFUND,))
    payment = void.lock(conn, payment_id)
    if payment.charged_minor is None or (payment.gateway, payment.currency) != (found.gateway, found.currency):
        raise MoveRefused(
            f"Payment {payment_id} was not charged in {found.currency} at {found.gateway}.", "Name another payment."
        )
    sale = void.sale_of(conn, payment_id)
    asked = {"payment_id": payment_id, "sale_id": sale.id, "amount": found.amount_minor}
    waits = conn.execute(_TO_RETURN, asked).one_or_none()
    if waits is None:
        _make_room(conn, payment_id, found.amount_minor, now, by)
        reversal_id = refund.ask(conn, payment_id, found.amount_minor, f"made before a restore: {why}", now, by)
        state: StrEnum = states.Reversal.REFUND_DUE
    else:
        reversal_id, state = waits.id, states.Reversal(waits.state)
        reverse.give_up_void(conn, reversal_id, "the sale was refunded", now, by)
    for move in ("send",) if state is states.Reversal.REFUND_DUE else ("owe_refund", "send"):
        then: dict[str, list[Any]] = {"next_step": [Step.WATCH.value], "due_at": [now]}
        advance(
            conn, Subject.REVERSALS, [Move(reversal_id, state, move, f"made before a restore: {why}")], now, by, then
        )
        state = states.after(state, move)
    reference = found.reference or draw_reference()
    sent = {"reference": reference, "reversal_id": reversal_id, "sale_id": sale.id, "amount": found.amount_minor}
    conn.execute(_RECORDS, {"what": "done"})
    refund_id = conn.execute(_REFUND, {**sent, "at": found.at}).scalar_one()
    conn.execute(_RECORDS, {"what": ""})
    question = reverse.Question(
        reversal_id=reversal_id,
        transaction_id=refund_id,
        gateway=found.gateway,
        operation="refund",
        reference=reference,
        amount_minor=found.amount_minor,
        currency=found.currency,
        started_at=found.at,
        gateway_transaction_id=found.transaction_id,
        sale_reference=sale.reference,
        sale_transaction_id=sale.transaction_id,
        payment_id=payment_id,
    )
    said = Found(reconcile.approval(found), Standing.REFUNDED)
    reverse.learn(conn, [reverse.Answer(question, said, reconcile.evidence(found))], terms, now, by, kind="report")
    told = {"id": found.id, "refund_id": refund_id, "payment_id": payment_id, "reversal_id": reversal_id}
    conn.execute(_AS_REFUND, {**told, "now": now, "by": by})
    tell(conn, "report.adopted", now, by, why, payment_id=payment_id, gateway_transaction_id=refund_id)


_DUE_HERE = text("""
    SELECT id FROM reversals WHERE payment_id = :id AND purpose = 'refund' AND state = 'refund_due'
    ORDER BY id DESC FOR NO KEY UPDATE""")
_NO_ROOM: Final = "the gateway had refunded it before the restore: ask again for what is left"


def _make_room(conn: Connection, payment_id: int, amount_minor: int, now: datetime, by: str) -> None:
    """What the gateway did goes before what is only due here: of that the newest fail until enough is left."""
    for row in conn.execute(_DUE_HERE, {"id": payment_id}).all():
        if refund.charge(conn, payment_id).refundable_minor >= amount_minor:
            return
        move = Move(row.id, states.Reversal.REFUND_DUE, "fail", _NO_ROOM)
        advance(conn, Subject.REVERSALS, [move], now, by, {"ended_at": [now]})
        tell(conn, "alarm.reversal", now, by, _NO_ROOM, payment_id=payment_id)


_GIVEN_BACK = text("""
    UPDATE report_lines SET applied_at = :now, applied_by = :by, became = 'given_back', why = :why WHERE id = :id""")


def given_back(conn: Connection, report_id: int, line: int, now: datetime, by: str, why: str) -> None:
    """A person voided or refunded the charge at the gateway itself, or it is another system's.

    Also of a refund that is missing here, once a person has recorded it by hand. Raises NotFound.
    """
    found = _line(conn, report_id, line, (Kind.SALE, Kind.REFUND))
    conn.execute(_GIVEN_BACK, {"id": found.id, "now": now, "by": by, "why": why})
    tell(conn, "report.set_aside", now, by, f"line {line} of report {report_id}: {why}")


def _line(conn: Connection, report_id: int, line: int, kinds: Sequence[Kind] = (Kind.SALE,)) -> Row[Any]:
    asked = {"report": report_id, "line": line, "kinds": [kind.value for kind in kinds]}
    found = conn.execute(_LINE, asked).one_or_none()
    if found is None:
        raise NotFound(
            f"Report {report_id} has no {' or '.join('charge' if kind is Kind.SALE else kind for kind in kinds)} at"
            f" line {line} that is missing here.",
            "`defray reconcile` lists them.",
        )
    return found


_RECORDS = text("SELECT set_config('defray.records', :what, true)")  # the fence lets in what is done already
_SALE = text("""
    INSERT INTO gateway_transactions (payment_id, operation, gateway, account, reference, amount_minor, currency,
                                      card_fingerprint, state, next_step, due_at, send_until, started_at)
    VALUES (:payment_id, 'sale', :gateway,
            coalesce((SELECT t.account FROM gateway_transactions t WHERE t.gateway = :gateway
                      ORDER BY t.id DESC LIMIT 1), :account), :reference, :amount, :currency,
            :fingerprint, 'started', 'inquire', :now, :at, :at)
    RETURNING id""")
_ADOPTED = text("""
    UPDATE report_lines SET gateway_transaction_id = :sale_id, payment_id = :payment_id, applied_at = :now,
                            applied_by = :by, became = (SELECT state FROM gateway_transactions WHERE id = :sale_id)
    WHERE id = :id""")


def _record(
    conn: Connection, line: Row[Any], payment: Row[Any], terms: Terms, now: datetime, by: str, why: str
) -> Tally:
    """The sale as it was once, by its own reference where the report has it; then its outcome, as of an inquiry."""
    conn.execute(_RECORDS, {"what": "done"})
    at = terms.gateways.get(line.gateway)
    sale_id = conn.execute(
        _SALE,
        {
            "payment_id": payment.id,
            "gateway": line.gateway,
            "account": at.account if at else "",
            "reference": line.reference or draw_reference(),
            "amount": line.amount_minor,
            "currency": line.currency,
            "fingerprint": payment.card_fingerprint,
            "at": line.at,
            "now": now,
        },
    ).scalar_one()
    conn.execute(_RECORDS, {"what": ""})
    advance(
        conn,
        Subject.PAYMENTS,
        [Move(payment.id, states.Payment(payment.state), "charge", f"charged before a restore: {why}")],
        now,
        by,
        {"attempts": [payment.attempts + 1], "reason": [""]},
    )
    heard = Heard(sale_id, None, reconcile.approval(line), reconcile.evidence(line))
    tally = finish(conn, "report", [heard], terms, now, by)
    told = {"id": line.id, "sale_id": sale_id, "payment_id": payment.id, "now": now, "by": by}
    conn.execute(_ADOPTED, told)
    tell(conn, "report.adopted", now, by, why, payment_id=payment.id, gateway_transaction_id=sale_id)
    return tally


# ---- whether a quarantine may end ------------------------------------------------------------------------------------

_UNREAD = text("""
    SELECT g.name FROM unnest(CAST(:gateways AS text[])) AS g(name)
    WHERE NOT EXISTS (SELECT FROM reports r WHERE r.gateway = g.name AND r.read_at >= :since) ORDER BY 1""")
# What was recorded from another report of the same gateway, or is known here by now, is not open in this one either.
_LEFT = text("""
    SELECT r.id, r.gateway, count(*) AS lines FROM reports r JOIN report_lines l ON l.report_id = r.id
    WHERE r.read_at >= :since AND l.applied_at IS NULL AND l.finding IN ('missing_here', 'proven')
      AND NOT EXISTS (SELECT FROM gateway_transactions t WHERE t.id = l.gateway_transaction_id
                      AND l.finding = 'proven' AND t.state IN ('approved', 'surplus'))
      AND NOT EXISTS (SELECT FROM reports o JOIN report_lines m ON m.report_id = o.id
                      WHERE o.gateway = r.gateway AND o.read_at >= :since AND m.applied_at IS NOT NULL
                        AND m.kind = l.kind AND m.transaction_id = l.transaction_id
                        AND m.reference IS NOT DISTINCT FROM l.reference
                        AND (l.transaction_id <> '' OR l.reference IS NOT NULL))
    GROUP BY 1, 2 ORDER BY 1""")
_DUE = text("SELECT count(*) FROM payments WHERE next_step = 'charge'")


def what_is_open(conn: Connection, gateways: Sequence[str], since: datetime) -> list[str]:
    """What speaks against ending a quarantine that began then: reports not read, charges not recorded yet."""
    unread = conn.execute(_UNREAD, {"gateways": list(gateways), "since": since}).scalars()
    left = conn.execute(_LEFT, {"since": since})
    return [
        *(f"no report of {name} was read since it began" for name in unread),
        *(f"report {row.id} of {row.gateway}: {row.lines} charges or refunds are not recorded here" for row in left),
    ]


def due(conn: Connection) -> int:
    """How many payments are charged once it ends, or when their time comes."""
    return int(conn.execute(_DUE).scalar_one())
