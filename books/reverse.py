"""Getting the money of a charge back to the card (R11, R12): void, else refund, in two transactions around each call.

A reversal's row says what is due next; `rules.reversal` says what follows each answer. Before a void or refund is sent,
its gateway transaction is committed as `started` and the reversal's next step becomes the question what came of it, due
when the lease ends: so a crash in between leads to a look-up, not to a second send.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import Connection, Row, text

from books import apart, claim, post, refund, void
from books.credit import apply_to_invoices
from books.epoch import NOT_QUARANTINED, released_since
from books.history import Booking, Move, Subject, advance, book, tell, witness
from books.outcome import Heard
from books.terms import AtGateway, Terms, draw_reference
from rules import ledger, states
from rules.charging import fits
from rules.errors import MoveRefused
from rules.outcomes import (
    Approved,
    Declined,
    Evidence,
    Failed,
    FailureClass,
    Found,
    Held,
    Outcome,
    Refused,
    Sighting,
    Unknown,
)
from rules.reversal import Next, Step, after_confirm, after_refund, after_void, after_watch


@dataclass(frozen=True, slots=True)
class Send:
    """A void or refund that is committed as `started` and is to be sent now."""

    transaction_id: int
    lease_token: int
    payment_id: int
    gateway: str
    operation: str
    reference: int
    amount_minor: int
    currency: str
    sale_reference: int
    sale_transaction_id: str
    sale_amount_minor: int
    card_last_four: str


@dataclass(frozen=True, slots=True)
class Question:
    """What to ask a gateway: about the sale itself (confirm) or about a refund of it (watch)."""

    reversal_id: int
    transaction_id: int
    gateway: str
    operation: str
    reference: int
    amount_minor: int
    currency: str
    started_at: datetime
    gateway_transaction_id: str
    sale_reference: int
    sale_transaction_id: str
    payment_id: int


@dataclass(frozen=True, slots=True)
class Answer:
    """What a gateway said to a question."""

    question: Question
    sighting: Sighting
    evidence: Evidence


_DUE = text(f"""
    SELECT r.*, s.reference AS sale_reference, s.transaction_id AS sale_transaction_id, s.gateway,
           s.account, s.amount_minor AS sale_amount_minor, s.started_at AS sale_started_at,
           coalesce(p.card_last_four, '') AS card_last_four
    FROM reversals r JOIN gateway_transactions s ON s.id = r.sale_id JOIN payments p ON p.id = r.payment_id
    WHERE r.next_step = :step AND r.due_at <= :now
      AND (CAST(:payment_id AS bigint) IS NULL OR r.payment_id = :payment_id)
      AND (:step NOT IN ('void', 'refund') OR {NOT_QUARANTINED})
    ORDER BY r.due_at LIMIT :most FOR NO KEY UPDATE OF r SKIP LOCKED""")
_HAND_OVER = text("""
    UPDATE reversals SET next_step = :step, due_at = :due_at, voids = voids + :voids, refunds = refunds + :refunds,
                         asked = :asked
    WHERE id = :id""")
_LAST = text("""
    SELECT * FROM gateway_transactions WHERE reversal_id = :id AND operation = :operation ORDER BY id DESC LIMIT 1""")
_START = text("""
    INSERT INTO gateway_transactions (payment_id, operation, gateway, account, reference, sale_id, reversal_id,
                                      amount_minor, currency, state, lease_token, send_until, started_at)
    VALUES (:payment_id, :operation, :gateway, :account, :reference, :sale_id, :reversal_id,
            :amount, :currency, 'started', :lease_token, :send_until, :now)
    RETURNING id, reference""")
_SEND_AGAIN = text("""
    UPDATE gateway_transactions SET sends = sends + 1, lease_token = :lease_token, send_until = :send_until
    WHERE id = :id RETURNING id, reference""")


def _due(conn: Connection, step: Step, payment_id: int | None, most: int, now: datetime) -> Sequence[Row[Any]]:
    """Claim due reversals; only their own rows are locked and nothing is waited for, so B3's order holds."""
    return conn.execute(_DUE, {"step": step.value, "payment_id": payment_id, "most": most, "now": now}).all()


def begin_voids(conn: Connection, payment_id: int | None, most: int, terms: Terms, now: datetime) -> list[Send]:
    """Commit a void for each due reversal; one whose outcome is unknown is sent again under its own reference."""
    due = _due(conn, Step.VOID, payment_id, most, now)
    # A sale that a person vouched for has no id of the gateway's yet: its standing is asked for first, and tells it.
    for reversal in due:
        if not reversal.sale_transaction_id:
            conn.execute(_SCHEDULE, {"id": reversal.id, "step": Step.CONFIRM.value, "due_at": now})
    named = [reversal for reversal in due if reversal.sale_transaction_id]
    return [_begin(conn, reversal, "void", Step.CONFIRM, terms, now) for reversal in named]


_OTHER_REFUND = text("""
    SELECT EXISTS (SELECT 1 FROM gateway_transactions
                   WHERE payment_id = :payment_id AND sale_id = :sale_id AND operation = 'refund' AND reversal_id <> :id
                     AND state IN ('started', 'unknown', 'review', 'approved'))""")


def _why_not_refunded(conn: Connection, reversal: Row[Any], terms: Terms, now: datetime) -> str | None:
    at = terms.at(reversal.gateway)
    if at.refund_within is not None and reversal.sale_started_at + at.refund_within < now:
        return (
            f"{reversal.gateway} refunds no sale that is older than {at.refund_within.days} days: give it back by hand"
        )
    other = {"payment_id": reversal.payment_id, "sale_id": reversal.sale_id, "id": reversal.id}
    if at.one_refund and conn.execute(_OTHER_REFUND, other).scalar_one():
        return f"{reversal.gateway} takes one refund of a sale, and had one already: give the rest back by hand"
    charge = refund.charge(conn, reversal.payment_id, but=reversal.id)
    alone = reversal.purpose == "void" and not charge.disputed_minor and not charge.charged_back_minor
    if alone or reversal.amount_minor <= charge.refundable_minor:
        return None
    return "less than this can be refunded by now: look at the disputes and refunds of the charge"


def _may_be_refunded(conn: Connection, reversal: Row[Any], terms: Terms, now: datetime, by: str) -> bool:
    """Right before the send: a dispute, or another refund, may have come in between; then a person must look (R17).

    What the gateway would refuse for certain, a second refund or one of an old sale, is not sent to it either.
    """
    why = _why_not_refunded(conn, reversal, terms, now) if reversal.state == states.Reversal.REFUND_DUE else None
    if why is None:
        return True
    locked = conn.execute(_LOCK_REVERSAL, {"id": reversal.id}).one()
    _follow(conn, locked, Next("fail", None, timedelta(0), why, alarm=True), terms.today(now), now, by)
    return False


def begin_refunds(
    conn: Connection, payment_id: int | None, most: int, terms: Terms, now: datetime, by: str
) -> list[Send]:
    """Commit a refund for each due reversal, for what is still refundable.

    One that was to be sent again is looked up instead where it waited until the gateway would not know it any more.
    """
    due = _due(conn, Step.REFUND, payment_id, most, now)
    due = [reversal for reversal in due if _may_be_refunded(conn, reversal, terms, now, by)]
    due = [reversal for reversal in due if not _came_too_late(conn, reversal, terms, now)]
    sends = [_begin(conn, reversal, "refund", Step.WATCH, terms, now) for reversal in due]
    fresh = [reversal for reversal in due if reversal.state == states.Reversal.REFUND_DUE]
    advance(
        conn,
        Subject.REVERSALS,
        [Move(reversal.id, states.Reversal.REFUND_DUE, "send", "the refund is sent") for reversal in fresh],
        now,
        by,
        {
            "next_step": [Step.WATCH.value] * len(fresh),
            "due_at": [now + terms.send_within + terms.answer_within] * len(fresh),
        },
    )
    return sends


def _came_too_late(conn: Connection, reversal: Row[Any], terms: Terms, now: datetime) -> bool:
    """E4: workers may have been away since the inquiry: what is unknown is then asked about again."""
    if reversal.state != states.Reversal.REFUNDING:
        return False
    sent = conn.execute(_LAST, {"id": reversal.id, "operation": "refund"}).one()
    if _may_be_sent_again(conn, sent, terms.at(reversal.gateway), terms, now):
        return False
    conn.execute(_SCHEDULE, {"id": reversal.id, "step": Step.WATCH.value, "due_at": now})
    return True


def _may_be_sent_again(conn: Connection, sent: Row[Any], at: AtGateway, terms: Terms, now: datetime) -> bool:
    """E4: whether a refund was not answered, would be seen by now, and is still recognised by the gateway.

    E7: one that was begun before a restore may have been followed by another.
    """
    unanswered = sent.state in {states.Transaction.STARTED, states.Transaction.UNKNOWN}
    appeared = sent.send_until + at.appears_within <= now
    recognised = now + terms.send_within < sent.started_at + at.replay_window
    return unanswered and appeared and recognised and not released_since(conn, sent.started_at)


def _begin(conn: Connection, reversal: Row[Any], operation: str, then: Step, terms: Terms, now: datetime) -> Send:
    lease_token, send_until = secrets.randbits(62), now + terms.send_within
    lease = {"lease_token": lease_token, "send_until": send_until}
    last = conn.execute(_LAST, {"id": reversal.id, "operation": operation}).one_or_none()
    if last is not None and last.state in {"started", "unknown"}:
        row = conn.execute(_SEND_AGAIN, {"id": last.id, **lease}).one()
    else:
        row = conn.execute(
            _START,
            {
                "payment_id": reversal.payment_id,
                "operation": operation,
                "gateway": reversal.gateway,
                "account": reversal.account,
                "reference": draw_reference(),
                "sale_id": reversal.sale_id,
                "reversal_id": reversal.id,
                "amount": reversal.sale_amount_minor if operation == "void" else reversal.amount_minor,
                "currency": reversal.currency,
                "now": now,
                **lease,
            },
        ).one()
    conn.execute(
        _HAND_OVER,
        {
            "id": reversal.id,
            "step": then.value,
            "due_at": send_until + terms.answer_within,
            "voids": int(operation == "void"),
            "refunds": int(operation == "refund"),
            "asked": 0,
        },
    )
    return Send(
        transaction_id=row.id,
        lease_token=lease_token,
        payment_id=reversal.payment_id,
        gateway=reversal.gateway,
        operation=operation,
        reference=row.reference,
        amount_minor=reversal.sale_amount_minor if operation == "void" else reversal.amount_minor,
        currency=reversal.currency,
        sale_reference=reversal.sale_reference,
        sale_transaction_id=reversal.sale_transaction_id,
        sale_amount_minor=reversal.sale_amount_minor,
        card_last_four=reversal.card_last_four,
    )


# ---- what came of a void or a refund --------------------------------------------------------------------------------

_HEARD_OF = text("""
    SELECT t.*, r.voids, r.refunds, p.customer_id, s.reference AS sale_reference
    FROM gateway_transactions t JOIN reversals r ON r.id = t.reversal_id JOIN payments p ON p.id = t.payment_id
    JOIN gateway_transactions s ON s.id = t.sale_id
    WHERE t.id = :id""")
_LOCK_REVERSAL = text("""
    SELECT r.*, p.customer_id, s.gateway FROM reversals r JOIN payments p ON p.id = r.payment_id
    JOIN gateway_transactions s ON s.id = r.sale_id
    WHERE r.id = :id FOR NO KEY UPDATE OF r""")


def finish(conn: Connection, heard: Sequence[Heard], terms: Terms, now: datetime, by: str) -> list[Next]:
    """Record what came of voids and refunds that were sent, and what follows (R11)."""
    rows = {one.transaction_id: conn.execute(_HEARD_OF, {"id": one.transaction_id}).one() for one in heard}
    claim.customers(conn, [row.customer_id for row in rows.values()])
    witness(conn, "reply", now, [(one.transaction_id, one.evidence) for one in heard])
    steps: list[Next] = []

    def write(group: Sequence[Heard]) -> None:
        concluded = [_conclude(conn, one, rows[one.transaction_id].reversal_id, terms, now, by) for one in group]
        steps.extend(step for step in concluded if step is not None)

    def set_aside(one: Heard, error: str) -> None:
        _put_off(conn, rows[one.transaction_id].reversal_id, one.transaction_id, error, now, by)

    apart.each(conn, heard, write, set_aside)
    return steps


def _conclude(conn: Connection, one: Heard, reversal_id: int, terms: Terms, now: datetime, by: str) -> Next | None:
    """What follows from one word of a gateway; None where it is not what is waited for."""
    reversal = conn.execute(_LOCK_REVERSAL, {"id": reversal_id}).one()
    sent = conn.execute(_HEARD_OF, {"id": one.transaction_id}).one()
    outcome = fits(one.outcome, sent.amount_minor, sent.currency, sent.reference, sent.sale_reference)
    proves_nothing = isinstance(outcome, Unknown) or (
        isinstance(outcome, Failed) and outcome.failure is FailureClass.NOT_SENT
    )
    if proves_nothing and one.lease_token != sent.lease_token:
        return None
    if sent.sends > 1 and isinstance(outcome, Failed):
        # That this send did nothing says nothing of the one before it, whose answer never came (E4).
        outcome = Unknown(outcome.code, outcome.message)
    if isinstance(outcome, Held):
        tell(conn, "alarm.held", now, by, outcome.message, payment_id=sent.payment_id, gateway_transaction_id=sent.id)
    _close(conn, sent, outcome, now, by)
    awaited = (states.Reversal.VOIDING, "void") if sent.operation == "void" else (states.Reversal.REFUNDING, "refund")
    if (reversal.state, sent.operation) != awaited:
        if sent.operation == "void" and isinstance(outcome, Approved) and reversal.state != states.Reversal.VOIDED:
            why = "a void was approved after the refund began, and may have undone it: a person must look"
            tell(conn, "alarm.reversal", now, by, why, payment_id=sent.payment_id, gateway_transaction_id=sent.id)
        return None  # an inquiry was quicker
    appears_within = terms.at(sent.gateway).appears_within
    if sent.operation == "void":
        step = after_void(outcome, sent.voids, appears_within)
    else:
        step = after_refund(outcome, sent.refunds, appears_within)
    _follow(conn, reversal, step, terms.today(now), now, by)
    return step


_PUT_OFF = text("""
    UPDATE reversals SET due_at = :until WHERE id = :id AND next_step IS NOT NULL RETURNING payment_id""")


def _put_off(conn: Connection, reversal_id: int, transaction_id: int, error: str, now: datetime, by: str) -> None:
    """Set a reversal whose outcome the database refuses aside for a quarter of an hour, with an alarm."""
    until = now + timedelta(minutes=15)
    payment_id = conn.execute(_PUT_OFF, {"id": reversal_id, "until": until}).scalar_one_or_none()
    why = f"the outcome could not be recorded ({error}): a person must look"
    tell(conn, "alarm.outcome_set_aside", now, by, why, payment_id=payment_id, gateway_transaction_id=transaction_id)


_CLOSING: Final = {Approved: "approve", Refused: "decline", Declined: "decline", Failed: "fail"}


def _close(conn: Connection, sent: Row[Any], outcome: Outcome, now: datetime, by: str) -> None:
    """The gateway transaction's own state; a repeated word changes nothing."""
    state = states.Transaction(sent.state)
    move = _CLOSING.get(type(outcome), "lose")
    if (state, move) not in states.TRANSACTION_MOVES or state not in {
        states.Transaction.STARTED,
        states.Transaction.UNKNOWN,
    }:
        return
    advance(
        conn,
        Subject.TRANSACTIONS,
        [Move(sent.id, state, move, f"{outcome.code} {getattr(outcome, 'message', '')}".strip())],
        now,
        by,
        {
            "finished_at": [None if move == "lose" else now],
            "transaction_id": [getattr(outcome, "transaction_id", "") or sent.transaction_id],
            "code": [outcome.code],
            "message": [getattr(outcome, "message", "")],
        },
    )


def give_up_void(conn: Connection, reversal_id: int, why: str, now: datetime, by: str) -> None:
    """A void of this reversal that was never answered did nothing: a report of the gateway's says so."""
    last = conn.execute(_LAST, {"id": reversal_id, "operation": "void"}).one_or_none()
    if last is not None:
        _close(conn, last, Failed(FailureClass.REFUSED, "report", why), now, by)


_SCHEDULE = text("UPDATE reversals SET next_step = :step, due_at = :due_at WHERE id = :id")
_ENDED: Final = {
    states.Reversal.VOIDED,
    states.Reversal.REFUNDED,
    states.Reversal.FAILED,
    states.Reversal.KEPT,
}
_RETURNED: Final = {states.Reversal.VOIDED, states.Reversal.REFUND_ACCEPTED, states.Reversal.REFUNDED}


def _follow(conn: Connection, reversal: Row[Any], step: Next, today: date, now: datetime, by: str) -> None:
    """Make the reversal's move, book it where money moved, schedule what is next, raise the alarm if there is one."""
    due_at = now + step.delay if step.step else None
    next_step = step.step.value if step.step else None
    if step.move is None:
        conn.execute(_SCHEDULE, {"id": reversal.id, "step": next_step, "due_at": due_at})
    else:
        before = states.Reversal(reversal.state)
        after = states.after(before, step.move)
        advance(
            conn,
            Subject.REVERSALS,
            [Move(reversal.id, before, step.move, step.why)],
            now,
            by,
            {"next_step": [next_step], "due_at": [due_at], "ended_at": [now if after in _ENDED else None]},
        )
        if reversal.purpose == "refund":
            _move_payment(conn, reversal, before, after, today, now, by)
        elif after in _RETURNED and before not in _RETURNED:
            entry = ledger.reversed_at_gateway(reversal.gateway, reversal.amount_minor)
            _book(conn, reversal, ledger.Kind.REVERSED_AT_GATEWAY, entry, today, now)
        elif after not in _RETURNED and before in _RETURNED:
            entry = ledger.refund_failed(reversal.gateway, reversal.amount_minor)
            _book(conn, reversal, ledger.Kind.REFUND_FAILED, entry, today, now)
    if step.alarm:
        tell(conn, "alarm.reversal", now, by, step.why, payment_id=reversal.payment_id)


def _move_payment(
    conn: Connection,
    reversal: Row[Any],
    before: states.Reversal,
    after: StrEnum,
    today: date,
    now: datetime,
    by: str,
) -> None:
    """R17: what a refund of a part moves in the payment that it is of, which stays posted."""
    if after in _RETURNED and before not in _RETURNED:
        refund.approved(conn, reversal, today, now, by)
    elif after not in _RETURNED and before in _RETURNED:
        kept = refund.failed_after_all(conn, reversal, today, now, by)
        if kept:
            why = "the payment was voided meanwhile: what came back is the customer's credit"
            advance(conn, Subject.REVERSALS, [Move(reversal.id, states.Reversal.FAILED, "keep", why)], now, by)


def _book(
    conn: Connection, reversal: Row[Any], kind: ledger.Kind, entry: ledger.Entry, today: date, now: datetime
) -> None:
    booking = Booking(kind, entry, reversal.customer_id, reversal.currency, reversal.payment_id)
    book(conn, [booking], now, [today])


# ---- asking the gateway ---------------------------------------------------------------------------------------------

_ASK = text("UPDATE reversals SET due_at = :due_at, asked = asked + 1 WHERE id = :id")


def begin_confirms(conn: Connection, payment_id: int | None, most: int, terms: Terms, now: datetime) -> list[Question]:
    """What to ask about sales whose void was refused or lost: where does their money stand?"""
    return [_ask(conn, reversal, None, terms, now) for reversal in _due(conn, Step.CONFIRM, payment_id, most, now)]


def begin_watches(conn: Connection, payment_id: int | None, most: int, terms: Terms, now: datetime) -> list[Question]:
    """What to ask about refunds that are accepted, unknown or were lost."""
    due = _due(conn, Step.WATCH, payment_id, most, now)
    return [
        _ask(conn, reversal, conn.execute(_LAST, {"id": reversal.id, "operation": "refund"}).one(), terms, now)
        for reversal in due
    ]


def _ask(conn: Connection, reversal: Row[Any], refund: Row[Any] | None, terms: Terms, now: datetime) -> Question:
    conn.execute(_ASK, {"id": reversal.id, "due_at": now + terms.send_within + terms.answer_within})
    return Question(
        reversal_id=reversal.id,
        transaction_id=refund.id if refund else reversal.sale_id,
        gateway=reversal.gateway,
        operation="refund" if refund else "sale",
        reference=refund.reference if refund else reversal.sale_reference,
        amount_minor=refund.amount_minor if refund else reversal.sale_amount_minor,
        currency=reversal.currency,
        started_at=refund.started_at if refund else reversal.sale_started_at,
        gateway_transaction_id=refund.transaction_id if refund else reversal.sale_transaction_id,
        sale_reference=reversal.sale_reference,
        sale_transaction_id=reversal.sale_transaction_id,
        payment_id=reversal.payment_id,
    )


def learn(
    conn: Connection, answers: Sequence[Answer], terms: Terms, now: datetime, by: str, kind: str = "inquiry"
) -> list[Next]:
    """Record what gateways said to questions, and what follows. `kind` says how it was heard: inquiry or report."""
    owners = [conn.execute(_LOCK_OWNER, {"id": answer.question.reversal_id}).scalar_one() for answer in answers]
    claim.customers(conn, owners)
    witness(conn, kind, now, [(answer.question.transaction_id, answer.evidence) for answer in answers])
    steps: list[Next] = []

    def write(group: Sequence[Answer]) -> None:
        learnt = [_learn(conn, answer, terms, now, by) for answer in group]
        steps.extend(step for step in learnt if step is not None)

    def set_aside(answer: Answer, error: str) -> None:
        _put_off(conn, answer.question.reversal_id, answer.question.transaction_id, error, now, by)

    apart.each(conn, answers, write, set_aside)
    return steps


def _learn(conn: Connection, answer: Answer, terms: Terms, now: datetime, by: str) -> Next | None:
    reversal = conn.execute(_LOCK_REVERSAL, {"id": answer.question.reversal_id}).one()
    step = (
        _confirmed(conn, reversal, answer.sighting, terms, now, by)
        if answer.question.operation == "sale"
        else _watched(conn, reversal, answer.sighting, terms, now, by)
    )
    if step is not None:
        _follow(conn, reversal, step, terms.today(now), now, by)
    return step


_LOCK_OWNER = text("SELECT p.customer_id FROM reversals r JOIN payments p ON p.id = r.payment_id WHERE r.id = :id")


_LEARN_ID = text("""
    UPDATE gateway_transactions SET transaction_id = :transaction_id WHERE id = :id AND transaction_id = ''""")


def _confirmed(
    conn: Connection, reversal: Row[Any], sighting: Sighting, terms: Terms, now: datetime, by: str
) -> Next | None:
    if reversal.state != states.Reversal.VOIDING or reversal.next_step != Step.CONFIRM:
        return None  # it moved on while we asked
    if isinstance(sighting, Found) and isinstance(sighting.outcome, Approved):
        conn.execute(_LEARN_ID, {"id": reversal.sale_id, "transaction_id": sighting.outcome.transaction_id})
    step = after_confirm(sighting, reversal.policy, reversal.voids, reversal.asked)
    last = conn.execute(_LAST, {"id": reversal.id, "operation": "void"}).one_or_none()
    if last is None or step.move is None:
        return step
    unanswered = last.state in {"started", "unknown"}
    if step.move != "void" and (unanswered or last.sends > 1):
        # R11: no refund, nor a person's word on it, while a void may yet work: some gateways would undo the refund.
        arrived_by = last.send_until + terms.at(reversal.gateway).appears_within
        if now < arrived_by:
            return Next(None, Step.CONFIRM, arrived_by - now, f"a void may still be on its way; {step.why}")
    if unanswered and step.move == "void":
        _close(conn, last, Approved(last.transaction_id, "inquiry", "the sale is voided"), now, by)
    elif unanswered and step.move != "fail":
        _close(conn, last, Failed(FailureClass.REFUSED, "inquiry", "the sale settled"), now, by)
    return step


_SALE_REFERENCE = text("SELECT reference FROM gateway_transactions WHERE id = :id")


def _watched(
    conn: Connection, reversal: Row[Any], sighting: Sighting, terms: Terms, now: datetime, by: str
) -> Next | None:
    state = states.Reversal(reversal.state)
    if reversal.next_step != Step.WATCH or state not in {states.Reversal.REFUNDING, states.Reversal.REFUND_ACCEPTED}:
        return None
    refund = conn.execute(_LAST, {"id": reversal.id, "operation": "refund"}).one()
    at = terms.at(reversal.gateway)
    if isinstance(sighting, Found):
        sale_reference = conn.execute(_SALE_REFERENCE, {"id": reversal.sale_id}).scalar_one()
        outcome = fits(sighting.outcome, refund.amount_minor, refund.currency, refund.reference, sale_reference)
        sighting = replace(sighting, outcome=outcome)
    # One that was answered ("already refunded") is never sent again: another send would be another refund.
    may_resend = _may_be_sent_again(conn, refund, at, terms, now)
    refused = refund.state == states.Transaction.DECLINED and refund.send_until + at.appears_within <= now
    step = after_watch(sighting, state is states.Reversal.REFUND_ACCEPTED, reversal.asked, may_resend, refused)
    if isinstance(sighting, Found):
        _close(conn, refund, sighting.outcome, now, by)
    return step


# ---- what people decide ---------------------------------------------------------------------------------------------

_WAITING = text("""
    SELECT r.*, p.customer_id, s.gateway FROM reversals r JOIN payments p ON p.id = r.payment_id
    JOIN gateway_transactions s ON s.id = r.sale_id
    WHERE r.payment_id = :id
      AND r.purpose = 'void'
    ORDER BY r.state IN ('refund_awaiting_approval', 'failed') DESC, r.id DESC LIMIT 1 FOR NO KEY UPDATE OF r""")


def waiting(conn: Connection, payment_id: int) -> Row[Any]:
    """The payment's reversal on which a person must decide, locked. Raises NotFound, or MoveRefused where none does."""
    void.lock(conn, payment_id)
    reversal = conn.execute(_WAITING, {"id": payment_id}).one_or_none()
    if reversal is None:
        raise MoveRefused(f"Payment {payment_id} has no charge to return.", "Only a voided card payment has one.")
    if reversal.state not in {states.Reversal.REFUND_AWAITING_APPROVAL, states.Reversal.FAILED}:
        raise MoveRefused(
            f"No refund of payment {payment_id} waits for an answer: its reversal is {reversal.state}.",
            f"`defray explain {payment_id}` tells the rest.",
        )
    return reversal


def approve(conn: Connection, payment_id: int, today: date, now: datetime, by: str) -> None:
    """R12: yes, return the amount to the card; also another try of a refund that failed.

    Raises NotFound, or MoveRefused where no refund waits for an answer.
    """
    reversal = waiting(conn, payment_id)
    step = Next("owe_refund", Step.REFUND, timedelta(0), f"{by} approved the refund")
    _follow(conn, reversal, step, today, now, by)


_UNSURE_REFUNDS = text("""
    SELECT r.*, p.customer_id, s.gateway FROM reversals r JOIN payments p ON p.id = r.payment_id
    JOIN gateway_transactions s ON s.id = r.sale_id
    WHERE r.payment_id = :id AND r.state = 'refunding'
      AND (CAST(:amount AS bigint) IS NULL OR r.amount_minor = :amount)
    ORDER BY r.id FOR NO KEY UPDATE OF r""")


def resolve(
    conn: Connection,
    payment_id: int,
    made: bool,
    amount_minor: int | None,
    reason: str,
    terms: Terms,
    now: datetime,
    by: str,
) -> None:
    """E4: a person says whether a refund was made whose outcome could not be found out; evidence of its own.

    `amount_minor` tells which, where several are unknown. Raises NotFound, or MoveRefused where none is, where it is
    not clear which, or while it may be on its way.
    """
    void.lock(conn, payment_id)
    unsure = conn.execute(_UNSURE_REFUNDS, {"id": payment_id, "amount": amount_minor}).all()
    if not unsure:
        raise MoveRefused(
            f"Payment {payment_id} has no refund with an unknown outcome.", "`defray explain` tells where it stands."
        )
    if len({reversal.amount_minor for reversal in unsure}) > 1:
        raise MoveRefused(
            f"Several refunds of payment {payment_id} are unknown.", "Name the amount of the one you mean."
        )
    reversal = unsure[0]
    sent = conn.execute(_LAST, {"id": reversal.id, "operation": "refund"}).one()
    if sent.send_until + terms.answer_within > now:
        raise MoveRefused(f"A refund of payment {payment_id} is being sent right now.", "Say it in a few minutes.")
    said = {"verdict": "made" if made else "not_made", "reason": reason, "by": by}
    witness(conn, "person", now, [(sent.id, Evidence(None, said))])
    outcome = Approved("", "person", reason) if made else Failed(FailureClass.REFUSED, "person", reason)
    _close(conn, sent, outcome, now, by)
    step = Next("refund" if made else "fail", None, timedelta(0), f"{by} asked the gateway: {reason}")
    _follow(conn, reversal, step, terms.today(now), now, by)


_KEPT = text("SELECT id FROM credits WHERE payment_id = :id ORDER BY id DESC LIMIT 1")
_HAD_PAID = text("SELECT invoice_id FROM allocations WHERE payment_id = :id ORDER BY id")


def keep(
    conn: Connection, payment_id: int, reason: str, apply_again: bool, today: date, now: datetime, by: str
) -> None:
    """R12: no, the amount is not returned to the card: it becomes the customer's credit, with a note.

    With `apply_again` the credit pays at once the invoices that the voided payment had paid. Raises NotFound, or
    MoveRefused where no refund waits for an answer or has failed, or where a dispute took the charge back or may yet.
    """
    reversal = waiting(conn, payment_id)
    charge = refund.charge(conn, payment_id, but=reversal.id)
    if charge.disputed_minor + charge.charged_back_minor and reversal.amount_minor > charge.refundable_minor:
        raise MoveRefused(
            "A dispute took this charge back, or may yet: the payer would have it twice.",
            f"`defray explain {payment_id}` tells of the dispute; keep the amount once it was won.",
        )
    _follow(conn, reversal, Next("keep", None, timedelta(0), reason), today, now, by)
    _book(conn, reversal, ledger.Kind.KEPT, ledger.kept(reversal.amount_minor), today, now)
    payment = void.lock(conn, payment_id)
    note = f"{post.origin(payment, payment.post_date or today)}, voided, not returned to the card: {reason}"
    post.create_credits(conn, [(payment, reversal.amount_minor, note)], now, by)
    if apply_again:
        kept = conn.execute(_KEPT, {"id": payment_id}).scalar_one()
        invoices = conn.execute(_HAD_PAID, {"id": payment_id}).scalars().all()
        apply_to_invoices(conn, payment.customer_id, payment.currency, invoices, today, now, by, credit_id=kept)
