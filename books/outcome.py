"""The second transaction of a charge: what came of sales, recorded in groups (E3-E5, R8, R18).

Evidence is written first and refuses nothing; then the moves are tried. A row that the database refuses is set aside by
a savepoint with an alarm; its neighbours are recorded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Any, assert_never

from sqlalchemy import Connection, Row, text

from books import apart, claim, gateway_cards, kept_cards, routing, void
from books.charge import card_counts, facts_of
from books.gateway_cards import SealedToken, ToKeep
from books.history import Move, Subject, advance, tell, witness
from books.post import post
from books.tally import Tally
from books.terms import Terms
from rules import retry, states, stored_cards
from rules.breaking import after, turns_away
from rules.cards import Brand
from rules.charging import DOES_NOT_FIT, fits
from rules.outcomes import (
    Approved,
    DeclineClass,
    Declined,
    Evidence,
    Failed,
    FailureClass,
    Held,
    Outcome,
    Refused,
    Unknown,
)
from rules.stored_cards import KeepNumbers


@dataclass(frozen=True, slots=True)
class Heard:
    """What was heard of a transaction. `lease_token` is that of the call, None for an inquiry, a report or a person.

    `sealed_token`: what the gateway gave to charge the card by later, where that was asked for (C4).
    """

    transaction_id: int
    lease_token: int | None
    outcome: Outcome
    evidence: Evidence
    sealed_token: SealedToken | None = None


@dataclass(frozen=True, slots=True)
class _SaleTurn:
    """A sale's move; `ask_at` is when it is looked up next, None where it is final or a person's to close."""

    sale: Row[Any]
    move: str
    outcome: Outcome
    ask_at: datetime | None = None
    decline_class: DeclineClass | None = None
    blocks_card: bool = False

    @property
    def told(self) -> bool:
        """Whether it is an event of its own: a plain yes or no is told by the payment's event."""
        return self.move in {"lose", "hold"} or self.sale.state in {"declined", "failed"}


@dataclass(frozen=True, slots=True)
class _PaymentTurn:
    """A payment's move, where it is not posted."""

    payment: Row[Any]
    move: str
    why: str
    due_at: datetime | None = None
    not_before: datetime | None = None
    declined: bool = False
    failed: bool = False
    by_number: bool = False  # C4: the gateway takes its own token no longer
    gateway: str | None = None  # E6: the one that every sale to come is made at, where it is another one
    rerouted: bool = False


@dataclass(slots=True)
class _Turns:
    """What a group of outcomes leads to, gathered before it is written set by set."""

    sales: list[_SaleTurn] = field(default_factory=list)
    payments: list[_PaymentTurn] = field(default_factory=list)
    posts: list[Row[Any]] = field(default_factory=list)
    amounts: dict[int, int] = field(default_factory=dict)
    ask_again: list[tuple[int, datetime]] = field(default_factory=list)
    unwanted: list[tuple[Row[Any], Row[Any], str]] = field(default_factory=list)
    alarms: list[tuple[str, str, Row[Any]]] = field(default_factory=list)
    answered: list[Row[Any]] = field(default_factory=list)
    kept: list[ToKeep] = field(default_factory=list)
    used_tokens: list[int] = field(default_factory=list)
    refused_tokens: list[int] = field(default_factory=list)
    unknown: int = 0


_OWNERS = text("""
    SELECT DISTINCT p.customer_id FROM gateway_transactions t JOIN payments p ON p.id = t.payment_id
    WHERE t.id = ANY(CAST(:ids AS bigint[]))""")
_SALES = text("""
    SELECT * FROM gateway_transactions WHERE id = ANY(CAST(:ids AS bigint[])) ORDER BY id FOR NO KEY UPDATE""")
_PAYMENTS = text("""
    SELECT * FROM payments
    WHERE id IN (SELECT payment_id FROM gateway_transactions WHERE id = ANY(CAST(:ids AS bigint[])))
    ORDER BY id FOR NO KEY UPDATE""")
_ASK_AGAIN = text("""
    UPDATE gateway_transactions t SET due_at = v.due_at, lease_token = NULL
    FROM unnest(CAST(:ids AS bigint[]), CAST(:dues AS timestamptz[])) AS v(id, due_at)
    WHERE t.id = v.id AND t.next_step IS NOT NULL""")


def finish(conn: Connection, kind: str, heard: Sequence[Heard], terms: Terms, now: datetime, by: str) -> Tally:
    """Record what was heard of sales and do what follows from it: post, decline, retry, look up, reverse.

    `kind` says how it was heard: reply, inquiry or person. What a late process says after it lost its lease counts only
    where it is an answer of the gateway.
    """
    tally = Tally()
    if not heard:
        return tally
    claim.customers(conn, conn.execute(_OWNERS, {"ids": [one.transaction_id for one in heard]}).scalars().all())
    witness(conn, kind, now, [(one.transaction_id, one.evidence) for one in heard])

    def set_aside(one: Heard, error: str) -> None:
        why = f"the outcome could not be recorded ({error}): a person must look"
        tell(conn, "alarm.outcome_set_aside", now, by, why, gateway_transaction_id=one.transaction_id)
        tally.set_aside += 1

    apart.each(conn, heard, lambda group: tally.add(_record(conn, group, terms, now, by)), set_aside)
    return tally


def _record(conn: Connection, heard: Sequence[Heard], terms: Terms, now: datetime, by: str) -> Tally:
    """All moves of a group, each row read again under the lock."""
    ids = [one.transaction_id for one in heard]
    payments = {row.id: row for row in conn.execute(_PAYMENTS, {"ids": ids})}
    sales = {row.id: row for row in conn.execute(_SALES, {"ids": ids})}
    declined = [sales[one.transaction_id].payment_id for one in heard if isinstance(one.outcome, Declined)]
    facts = facts_of(conn, declined, now) if declined else {}
    turned_away = [
        payments[sales[one.transaction_id].payment_id]
        for one in heard
        if isinstance(one.outcome, Failed) and turns_away(one.outcome)
    ]
    ways = routing.ways(conn, turned_away, terms)
    turns = _Turns()
    for one in heard:
        sale = sales[one.transaction_id]
        _judge(one, sale, payments[sale.payment_id], facts, ways, terms, now, turns)
    tally = Tally(unknown=turns.unknown)
    _write_sales(conn, turns.sales, now, by)
    _write_payments(conn, turns.payments, tally, now, by)
    if turns.posts:
        post(conn, turns.posts, turns.amounts, now, terms.today(now), by)
        tally.posted += len(turns.posts)
    in_use = kept_cards.in_use(conn, [payment.id for payment in turns.answered if not payment.card_once])
    tally.answered_cards += [payment.card_token for payment in turns.answered if payment.card_token not in in_use]
    gateway_cards.keep(conn, turns.kept, now)
    gateway_cards.used(conn, turns.used_tokens, now)
    gateway_cards.refused(conn, turns.refused_tokens, now)
    ended = [*turns.posts, *(turn.payment for turn in turns.payments if turn.move in {"decline", "cancel"})]
    tally.spent_cards += kept_cards.spent(conn, [payment.id for payment in ended if payment.card_once])
    if terms.keep_numbers is KeepNumbers.UNTIL_TOKEN:
        charged = [payment.id for payment in turns.posts if not payment.card_once]
        tally.spent_cards += kept_cards.replaced(conn, charged)
    if turns.ask_again:
        due = {"ids": [sale_id for sale_id, _ in turns.ask_again], "dues": [at for _, at in turns.ask_again]}
        conn.execute(_ASK_AGAIN, due)
    for payment, sale, why in turns.unwanted:
        void.owe_back(conn, payment, sale, why, terms.today(now), now, by)
        tally.reversals += 1
    for what, why, sale in turns.alarms:
        tell(conn, what, now, by, why, payment_id=sale.payment_id, gateway_transaction_id=sale.id)
    return tally


def _judge(
    one: Heard,
    sale: Row[Any],
    payment: Row[Any],
    facts: Mapping[int, Row[Any]],
    ways: Mapping[int, Sequence[str]],
    terms: Terms,
    now: datetime,
    turns: _Turns,
) -> None:
    """What one outcome leads to, by the sale's present state."""
    state = states.Transaction(sale.state)
    outcome = fits(one.outcome, sale.amount_minor, sale.currency, sale.reference)
    if one.lease_token is not None and one.lease_token != sale.lease_token and not _is_answer(outcome):
        return  # a late word of a process that lost its lease; whoever holds it now knows better
    if one.lease_token is not None and sale.sends > 1 and isinstance(outcome, Failed):
        # That this send did nothing says nothing of the one before it, whose answer never came (E4).
        outcome = Unknown(outcome.code, outcome.message)
    if isinstance(outcome, Approved) and outcome.repeated and sale.sends == 1:
        # Sent once under a random reference, it repeats nothing of ours: its own record tells whose it is (B08).
        outcome = Unknown("repeated", "approved as a duplicate, though it was sent once", outcome.transaction_id)
    if isinstance(outcome, Approved) and state in {states.Transaction.DECLINED, states.Transaction.FAILED}:
        turns.sales.append(_SaleTurn(sale, "approve", outcome))
        why = f"the gateway approved a sale that had been recorded as {state}"
        turns.alarms.append(("alarm.surplus", why, sale))
        turns.unwanted.append((payment, sale, why))
        return
    if state not in {states.Transaction.STARTED, states.Transaction.UNKNOWN, states.Transaction.REVIEW}:
        return
    # C4: said to this very call; what an inquiry or a person says of it leaves the token as it is.
    token_refused = one.lease_token is not None and sale.by_token and stored_cards.token_refused(outcome)
    failure: _PaymentTurn | None = None
    if token_refused:
        turns.refused_tokens.append(sale.gateway_card_id)
        failure = _by_number(outcome, sale, payment, now)
    elif isinstance(outcome, Failed):
        failure = _after_failure(outcome, payment, ways, terms, now)
    if _is_answer(outcome) and not (failure and failure.rerouted):
        turns.answered.append(payment)
    ask_at = partial(retry.inquiry_due, sale.asked, now, sale.id, terms.policy)
    match outcome:
        case Approved():
            turns.sales.append(_SaleTurn(sale, "approve", outcome))
            if payment.cancel_wish_by:
                why = f"cancelled by {payment.cancel_wish_by} while it was being charged"
                turns.payments.append(_PaymentTurn(payment, "cancel", why))
                turns.unwanted.append((payment, sale, why))
            else:
                turns.posts.append(payment)
                if sale.by_token:
                    turns.used_tokens.append(sale.gateway_card_id)
                elif sale.keep_card and not payment.card_once and (one.sealed_token or outcome.network_reference):
                    turns.kept.append(ToKeep(sale, payment, one.sealed_token, outcome.network_reference))
                turns.amounts[payment.id] = sale.amount_minor
        case Declined():
            if state is states.Transaction.REVIEW:
                # B22: what a review turned down is not asked for again.
                outcome = replace(outcome, decline=DeclineClass.HARD)
            advised = retry.read_advice(outcome, Brand(payment.card_brand)).decline
            blocks = retry.blocks_card(outcome, Brand(payment.card_brand))
            turns.sales.append(_SaleTurn(sale, "decline", outcome, decline_class=advised, blocks_card=blocks))
            turns.payments.append(_after_decline(outcome, advised, payment, facts[payment.id], terms, now))
        case Failed():
            turns.sales.append(_SaleTurn(sale, "fail", outcome))
            turns.payments += [failure] if failure else []
            if outcome.failure is FailureClass.GATEWAY_SETUP:
                turns.alarms.append(("alarm.gateway_setup", _words(outcome), sale))
        case Held() if state is states.Transaction.REVIEW:
            turns.ask_again.append((sale.id, ask_at()))
            if outcome.code == DOES_NOT_FIT:
                turns.alarms.append(("alarm.held", _words(outcome), sale))
        case Held():
            # R18: what was approved for something else waits for a person; an inquiry may not tell the amount.
            look_up_at = None if outcome.code == DOES_NOT_FIT else ask_at()
            turns.sales.append(_SaleTurn(sale, "hold", outcome, look_up_at))
            turns.payments.append(_PaymentTurn(payment, "ask", f"held for review: {_words(outcome)}"))
            turns.alarms.append(("alarm.held", _words(outcome), sale))
        case Unknown():
            turns.unknown += 1
            if state is states.Transaction.STARTED:
                turns.sales.append(_SaleTurn(sale, "lose", outcome, ask_at()))
            else:
                turns.ask_again.append((sale.id, ask_at()))
        case Refused():
            raise RuntimeError("a sale cannot be refused as a void or a refund is")
        case _:
            assert_never(outcome)


def _is_answer(outcome: Outcome) -> bool:
    """Whether the gateway itself said it, so that it is true whoever heard it."""
    match outcome:
        case Unknown() | Failed(failure=FailureClass.NOT_SENT):
            return False
        case _:
            return True


def _after_decline(
    outcome: Declined, advised: DeclineClass, payment: Row[Any], fact: Row[Any], terms: Terms, now: datetime
) -> _PaymentTurn:
    if payment.cancel_wish_by:
        return _PaymentTurn(payment, "cancel", f"cancelled by {payment.cancel_wish_by}", declined=True)
    before = {DeclineClass(name): times for name, times in fact.declines.items()}
    history = retry.History(
        first_declined_at=payment.first_declined_at or now,
        attempts=payment.attempts - payment.failures,  # what never reached the issuer is no attempt of the card
        declines={**before, advised: before.get(advised, 0) + 1},
        card=card_counts(fact),
    )
    card = retry.CardFacts(Brand(payment.card_brand), payment.card_exp_month, payment.card_exp_year)
    match retry.decide(outcome, history, card, now, terms.policy, terms.zone, payment.id):
        case retry.RetryAt() as again:
            return _PaymentTurn(payment, "retry", again.why, again.due_at, again.not_before, declined=True)
        case retry.End() as end:
            asks = end.ran_out and terms.policy.at_end is retry.AtEnd.ASK
            return _PaymentTurn(payment, "ask" if asks else "decline", end.why, declined=True)


def _by_number(outcome: Outcome, sale: Row[Any], payment: Row[Any], now: datetime) -> _PaymentTurn:
    if payment.cancel_wish_by:
        return _PaymentTurn(payment, "cancel", f"cancelled by {payment.cancel_wish_by}", failed=True)
    why = f"{sale.gateway} does not take its stored card any more ({_words(outcome)}): by the number now"
    return _PaymentTurn(payment, "retry", why, now, failed=True, by_number=True)


def _after_failure(
    outcome: Failed, payment: Row[Any], ways: Mapping[int, Sequence[str]], terms: Terms, now: datetime
) -> _PaymentTurn:
    if payment.cancel_wish_by:
        return _PaymentTurn(payment, "cancel", f"cancelled by {payment.cancel_wish_by}", failed=True)
    way = ways.get(payment.id, ())
    if others := after(way, payment.gateway):
        why = f"{others[0]} takes over: nothing was charged at {payment.gateway} ({_words(outcome)})"
        return _PaymentTurn(payment, "retry", why, now, failed=True, gateway=others[0], rerouted=True)
    match retry.after_failure(outcome, payment.failures, now, payment.id, terms.policy):
        case retry.RetryAt() as again:  # and begins the way anew
            start = way[0] if way else None
            return _PaymentTurn(payment, "retry", again.why, again.due_at, again.not_before, failed=True, gateway=start)
        case retry.End() as end:
            return _PaymentTurn(payment, "ask", end.why, failed=True)


def _words(outcome: Outcome) -> str:
    return f"{outcome.code} {outcome.message}".strip()


def _write_sales(conn: Connection, turns: Sequence[_SaleTurn], now: datetime, by: str) -> None:
    for told in (False, True):
        group = [turn for turn in turns if turn.told is told]
        advance(
            conn,
            Subject.TRANSACTIONS,
            [Move(t.sale.id, states.Transaction(t.sale.state), t.move, _words(t.outcome)) for t in group],
            now,
            by,
            {
                "next_step": ["inquire" if t.ask_at else None for t in group],
                "due_at": [t.ask_at for t in group],
                "lease_token": [None] * len(group),
                "finished_at": [None if t.move in {"lose", "hold"} else now for t in group],
                "transaction_id": [getattr(t.outcome, "transaction_id", "") or t.sale.transaction_id for t in group],
                "approval_code": [getattr(t.outcome, "approval_code", "") for t in group],
                "code": [t.outcome.code for t in group],
                "message": [t.outcome.message for t in group],
                "decline_class": [t.decline_class.value if t.decline_class else None for t in group],
                "blocks_card": [t.blocks_card for t in group],
            },
            tell=told,
        )


def _write_payments(conn: Connection, turns: Sequence[_PaymentTurn], tally: Tally, now: datetime, by: str) -> None:
    advance(
        conn,
        Subject.PAYMENTS,
        [Move(t.payment.id, states.Payment(t.payment.state), t.move, t.why) for t in turns],
        now,
        by,
        {
            "reason": [t.why for t in turns],
            "next_step": ["charge" if t.move == "retry" else None for t in turns],
            "due_at": [t.due_at for t in turns],
            "not_before": [t.not_before for t in turns],
            "first_declined_at": [t.payment.first_declined_at or (now if t.declined else None) for t in turns],
            "failures": [t.payment.failures + t.failed for t in turns],
            "gateway": [t.gateway or t.payment.gateway for t in turns],
        },
    )
    for turn in turns:
        tally.count(turn.move)
    tally.rerouted += sum(turn.rerouted for turn in turns)
    tally.by_number += sum(turn.by_number for turn in turns)
