"""Looking up sales whose outcome is not known (E4): lost leases, lost answers, sales held for review.

Found is recorded as found. Absence frees no new reference: after the time to appear the same sale is sent again, as
long as the gateway recognises its reference and the payment is still wanted; after that a person decides.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, assert_never

from sqlalchemy import Connection, Row, text

from books import claim, gateway_cards, void
from books.charge import Begun, facts_of, to_send
from books.epoch import NOT_QUARANTINED
from books.gateway_cards import GatewayCard, SealedToken
from books.history import Move, Subject, advance, tell, witness
from books.outcome import Heard, finish
from books.tally import Tally
from books.terms import Terms
from rules import retry, states
from rules.charging import Charge, WhenOwedLess, decide
from rules.errors import MoveRefused, NotFound
from rules.outcomes import (
    Absent,
    Approved,
    DeclineClass,
    Declined,
    Evidence,
    Failed,
    FailureClass,
    Found,
    Held,
    NoAnswer,
    Outcome,
    Sighting,
    Standing,
    Unknown,
)


@dataclass(frozen=True, slots=True)
class Question:
    """A sale to look up by its merchant reference."""

    transaction_id: int
    payment_id: int
    gateway: str
    account: str
    card_fingerprint: str
    keep_card: bool
    reference: int
    amount_minor: int
    currency: str
    started_at: datetime
    gateway_transaction_id: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What the gateway said; `sealed_token` is what it gave for later, where that was asked for (C4)."""

    question: Question
    sighting: Sighting
    evidence: Evidence
    sealed_token: SealedToken | None = None


_DUE = text("""
    SELECT * FROM gateway_transactions
    WHERE next_step = 'inquire' AND due_at <= :now AND (CAST(:payment_id AS bigint) IS NULL OR payment_id = :payment_id)
    ORDER BY due_at LIMIT :most FOR NO KEY UPDATE SKIP LOCKED""")
_ASK = text("""
    UPDATE gateway_transactions SET due_at = :due_at, asked = asked + 1, lease_token = NULL
    WHERE id = ANY(CAST(:ids AS bigint[]))""")


def begin(conn: Connection, payment_id: int | None, most: int, terms: Terms, now: datetime, by: str) -> list[Question]:
    """Claim sales that are due for a look-up; a `started` one has lost its lease and is `unknown` from now on.

    Only the rows themselves are locked and nothing is waited for, so B3's order holds.
    """
    due = conn.execute(_DUE, {"payment_id": payment_id, "most": most, "now": now}).all()
    lost = [row for row in due if row.state == states.Transaction.STARTED]
    advance(
        conn,
        Subject.TRANSACTIONS,
        [Move(row.id, states.Transaction.STARTED, "lose", "no outcome was recorded within the lease") for row in lost],
        now,
        by,
        {"next_step": ["inquire"] * len(lost), "due_at": [now] * len(lost)},
    )
    if due:
        lease_end = now + terms.send_within + terms.answer_within
        conn.execute(_ASK, {"ids": [row.id for row in due], "due_at": lease_end})
    return [
        Question(
            row.id,
            row.payment_id,
            row.gateway,
            row.account,
            row.card_fingerprint,
            row.keep_card,
            row.reference,
            row.amount_minor,
            row.currency,
            row.started_at,
            row.transaction_id,
        )
        for row in due
    ]


_OWNERS = text("""
    SELECT t.id, p.customer_id FROM gateway_transactions t JOIN payments p ON p.id = t.payment_id
    WHERE t.id = ANY(CAST(:ids AS bigint[]))""")
_SALES = text(f"""
    SELECT *, {NOT_QUARANTINED} AS may_be_sent FROM gateway_transactions
    WHERE id = ANY(CAST(:ids AS bigint[])) FOR NO KEY UPDATE""")
_PAYMENTS = text("SELECT * FROM payments WHERE id = ANY(CAST(:ids AS bigint[]))")
_SCHEDULE = text("UPDATE gateway_transactions SET due_at = :due_at WHERE id = :id AND next_step IS NOT NULL")
_SEND_AGAIN = text("""
    UPDATE gateway_transactions SET sends = sends + 1, lease_token = :lease_token, send_until = :send_until,
                                    due_at = :lease_end
    WHERE id = :id""")


def learn(
    conn: Connection, answers: Sequence[Answer], terms: Terms, now: datetime, by: str
) -> tuple[list[Begun], Tally]:
    """Record what the gateways said. Returns the sales to send again under their own reference, and how many ended."""
    found: list[Heard] = []
    open_questions: list[Answer] = []
    for answer in answers:
        outcome = _found(answer.sighting)
        if outcome is None:
            open_questions.append(answer)
        else:
            found.append(Heard(answer.question.transaction_id, None, outcome, answer.evidence, answer.sealed_token))
    asked_ids = [answer.question.transaction_id for answer in answers]
    claim.customers(conn, [row.customer_id for row in conn.execute(_OWNERS, {"ids": asked_ids})])
    tally = finish(conn, "inquiry", found, terms, now, by)
    witness(conn, "inquiry", now, [(a.question.transaction_id, a.evidence) for a in open_questions])
    return _keep_asking(conn, open_questions, terms, now, by), tally


def _found(sighting: Sighting) -> Outcome | None:
    """The sale's outcome as an inquiry proves it, None where it proves nothing."""
    match sighting:
        case Found(outcome=Approved() as approved, standing=Standing.UNSETTLED | Standing.SETTLING | Standing.SETTLED):
            return approved
        case Found(outcome=Approved() as approved, standing=elsewhere):
            return Held(approved.transaction_id, f"stands_{elsewhere}", "approved, but its money is elsewhere: look")
        case Found(outcome=Unknown()) | Absent() | NoAnswer():
            return None
        case Found(outcome=outcome):
            return outcome
    assert_never(sighting)


def _keep_asking(conn: Connection, answers: Sequence[Answer], terms: Terms, now: datetime, by: str) -> list[Begun]:
    if not answers:
        return []
    ids = [answer.question.transaction_id for answer in answers]
    sales = {row.id: row for row in conn.execute(_SALES, {"ids": ids})}
    payments = {row.id: row for row in conn.execute(_PAYMENTS, {"ids": [s.payment_id for s in sales.values()]})}
    facts = facts_of(conn, list(payments), now)
    cards = gateway_cards.by_id(conn, [s.gateway_card_id for s in sales.values() if s.gateway_card_id])
    again: list[Begun] = []
    for answer in answers:
        sale = sales[answer.question.transaction_id]
        if sale.state not in {states.Transaction.UNKNOWN, states.Transaction.REVIEW}:
            continue
        payment, at = payments[sale.payment_id], terms.at(sale.gateway)
        absent = isinstance(answer.sighting, Absent) and sale.state == states.Transaction.UNKNOWN
        overdue = sale.send_until + at.appears_within <= now
        recognised = now + terms.send_within < sale.started_at + at.replay_window
        if absent and overdue and recognised and sale.may_be_sent and _still_wanted(payment, sale, facts[payment.id]):
            again.append(_send_again(conn, sale, payment, facts[payment.id], cards, terms, now))
            continue
        due_at = retry.inquiry_due(sale.asked, now, sale.id, terms.policy)
        if absent and not overdue:
            due_at = min(due_at, sale.send_until + at.appears_within)
        conn.execute(_SCHEDULE, {"id": sale.id, "due_at": due_at})
        if overdue and sale.asked % 8 == 0:
            why = f"asked {sale.asked} times, and still not known: a person must look"
            tell(conn, "alarm.unknown_outcome", now, by, why, payment_id=payment.id, gateway_transaction_id=sale.id)
    return again


def _still_wanted(payment: Row[Any], sale: Row[Any], fact: Row[Any]) -> bool:
    """R8: looked at again before every send; the sale itself does not count as under way."""
    if payment.cancel_wish_by or payment.state != states.Payment.CHARGING or fact.reversing:
        return False
    owed = max(0, fact.owed - fact.under_way)
    policy = WhenOwedLess(payment.when_owed_less)
    match decide(payment.total_minor, payment.owed_at_request_minor, owed, payment.as_credit, policy):
        case Charge(amount):
            return bool(amount >= sale.amount_minor)
        case _:
            return False


def _send_again(
    conn: Connection,
    sale: Row[Any],
    payment: Row[Any],
    fact: Row[Any],
    cards: Mapping[int, GatewayCard],
    terms: Terms,
    now: datetime,
) -> Begun:
    lease_token, send_until = secrets.randbits(62), now + terms.send_within
    conn.execute(
        _SEND_AGAIN,
        {
            "id": sale.id,
            "lease_token": lease_token,
            "send_until": send_until,
            "lease_end": send_until + terms.answer_within,
        },
    )
    return to_send(sale, payment, fact, lease_token, 1, cards.get(sale.gateway_card_id))


_UNSURE_SALE = text("""
    SELECT id, lease_token IS NOT NULL AND due_at > :now AS in_flight FROM gateway_transactions
    WHERE payment_id = :id AND operation = 'sale' AND state IN ('unknown', 'review')""")


def resolve(
    conn: Connection, payment_id: int, verdict: str, reason: str, terms: Terms, now: datetime, by: str
) -> Tally:
    """A person says what became of a sale whose outcome could not be found out: approved, declined or not_made.

    Raises NotFound where the payment has no such sale, MoveRefused for another verdict or while it is being sent again.
    """
    void.lock(conn, payment_id)
    sale = conn.execute(_UNSURE_SALE, {"id": payment_id, "now": now}).one_or_none()
    if sale is None:
        raise NotFound(
            f"Payment {payment_id} has no charge with an unknown outcome.", "`defray explain` tells where it stands."
        )
    if sale.in_flight:
        raise MoveRefused(
            f"The charge of payment {payment_id} is being sent again right now.", "Say it in a few minutes."
        )
    outcome: Outcome
    match verdict:
        case "approved":
            outcome = Approved("", "person", reason)
        case "declined":
            outcome = Declined(DeclineClass.OTHER_WAY, "person", reason)
        case "not_made":
            outcome = Failed(FailureClass.REFUSED, "person", reason)
        case _:
            raise MoveRefused(f"{verdict!r} is no verdict.", "Say approved, declined or not_made.")
    said = Evidence(None, {"verdict": verdict, "reason": reason, "by": by})
    return finish(conn, "person", [Heard(sale.id, None, outcome, said)], terms, now, by)
