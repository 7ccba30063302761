"""The first transaction of a charge: whether it is still owed, how much, and that it is about to be sent (E1, R8).

`begin` commits a sale as `started`; then the gateway is called; then `books.outcome.finish` commits what came of it. A
crash between them leaves a sale whose lease runs out; it is then looked up (`books.inquire`), never repeated blindly.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, Row, text

from books import apart, claim, gateway_cards, holds, kept_cards, routing
from books.gateway_cards import GatewayCard, SealedToken
from books.history import Move, Subject, advance
from books.sweep import tend
from books.tally import Tally
from books.terms import Terms, draw_reference
from rules import retry, states, stored_cards
from rules.cards import expires_before
from rules.charging import AskFirst, Charge, NoLongerOwed, WhenOwedLess, decide
from rules.initiators import Initiator
from rules.stored_cards import FirstSale, StoredCredential


@dataclass(frozen=True, slots=True)
class Begun:
    """A sale that is committed as `started` and is to be sent now, once, under its lease.

    `by_token`: by the gateway's own token instead of the number (C4), which is `stored` as long as it is kept.
    """

    transaction_id: int
    lease_token: int
    payment_id: int
    gateway: str
    reference: int
    amount_minor: int
    currency: str
    card_token: str
    invoice_number: str
    account: str
    card_fingerprint: str
    credential: StoredCredential | None
    keep_card: bool
    by_token: bool
    stored: SealedToken | None


# What each payment was meant for owes now, what overlapping charges are under way (R8, R8a), how often its card was
# tried (R16), and whether an invoice it would pay waits for a reversal (R12). Conditions on the payment stand in the
# laterals, where they spare the work. A live sale, one a payment at the most (E5), is looked up by itself: while there
# are no statistics, the planner would join every payment to all live sales there are.
_FACTS = text(f"""
    WITH p AS (
        SELECT * FROM payments WHERE id = ANY(CAST(:ids AS bigint[]))
    ), open AS (
        SELECT i.customer_id, i.currency, sum(i.balance_minor)::bigint AS owed
        FROM invoices i JOIN (SELECT DISTINCT customer_id, currency FROM p WHERE invoice_ids IS NULL) o
             ON o.customer_id = i.customer_id AND o.currency = i.currency
        WHERE i.state = 'pending' GROUP BY 1, 2
    )
    SELECT p.id, coalesce(named.owed, open.owed, 0)::bigint AS owed, coalesce(under.way, 0)::bigint AS under_way,
           coalesce(first.number, '') AS invoice_number,
           coalesce(tries.last_day, 0) AS last_day, coalesce(tries.last_month, 0) AS last_month,
           coalesce(tries.same_charge, 0) AS same_charge, coalesce(tries.blocked, false) AS blocked,
           coalesce(declines.by_class, '{{}}'::jsonb) AS declines,
           p.attempts > 0 AND EXISTS (
               SELECT 1 FROM reversals r
               JOIN payments v ON v.id = r.payment_id JOIN allocations a ON a.payment_id = v.id
               WHERE v.customer_id = p.customer_id AND v.currency = p.currency
                 AND r.state NOT IN ('voided', 'refunded', 'kept') AND (r.purpose = 'void' OR r.state <> 'failed')
                 AND (p.invoice_ids IS NULL OR a.invoice_id = ANY(p.invoice_ids))) AS reversing,
           p.attempts > 0 AND EXISTS (
               SELECT 1 FROM gateway_transactions t
               WHERE t.payment_id = p.id AND t.operation = 'sale' AND t.state = 'surplus') AS surplus,
           (SELECT least(h.until, CAST(:now AS timestamptz) + interval '1 hour') FROM customer_holds h
            WHERE h.customer_id = p.customer_id AND {holds.STANDS}) AS held_till
    FROM p
    LEFT JOIN open ON p.invoice_ids IS NULL AND open.customer_id = p.customer_id AND open.currency = p.currency
    LEFT JOIN LATERAL (
        SELECT sum(least(i.balance_minor, n.cap)) AS owed
        FROM unnest(p.invoice_ids, p.caps_minor) AS n(id, cap) JOIN invoices i ON i.id = n.id
        WHERE i.state = 'pending') named ON p.invoice_ids IS NOT NULL
    LEFT JOIN LATERAL (
        SELECT number FROM invoices WHERE id = p.invoice_ids[1]) first ON cardinality(p.invoice_ids) = 1
    LEFT JOIN LATERAL (
        SELECT sum((
            SELECT t.amount_minor FROM gateway_transactions t
            WHERE t.payment_id = o.id AND t.operation = 'sale' AND t.state IN ('started', 'unknown', 'review'))) AS way
        FROM payments o
        WHERE NOT p.allow_overlap
          AND o.customer_id = p.customer_id AND o.currency = p.currency AND o.id <> p.id AND o.gateway IS NOT NULL
          AND o.state IN ('charging', 'review')
          AND (o.invoice_ids IS NULL OR p.invoice_ids IS NULL OR o.invoice_ids && p.invoice_ids)
    ) under ON true
    LEFT JOIN LATERAL (
        SELECT count(*) FILTER (WHERE t.started_at > CAST(:now AS timestamptz) - interval '24 hours') AS last_day,
               count(*) FILTER (WHERE t.started_at > CAST(:now AS timestamptz) - interval '30 days') AS last_month,
               count(*) FILTER (WHERE t.started_at > CAST(:now AS timestamptz) - interval '30 days'
                                  AND t.amount_minor = p.total_minor) AS same_charge,
               bool_or(t.blocks_card) AS blocked
        FROM gateway_transactions t
        WHERE p.attempts > 0
          AND t.card_fingerprint = p.card_fingerprint AND t.gateway = p.gateway AND t.operation = 'sale'
          AND t.state NOT IN ('approved', 'failed')
    ) tries ON true
    LEFT JOIN LATERAL (
        SELECT jsonb_object_agg(d.decline_class, d.times) AS by_class
        FROM (SELECT t.decline_class, count(*) AS times FROM gateway_transactions t
              WHERE p.attempts > 0 AND t.payment_id = p.id AND t.decline_class IS NOT NULL GROUP BY 1) d
    ) declines ON true""")

_START = text("""
    INSERT INTO gateway_transactions (payment_id, operation, gateway, account, reference, amount_minor, currency,
                                      card_fingerprint, gateway_card_id, by_token, keep_card,
                                      state, next_step, due_at, lease_token, send_until, started_at)
    SELECT v.payment_id, 'sale', p.gateway, v.account, v.reference, v.amount, p.currency, p.card_fingerprint,
           v.card, v.by_token, v.keep_card, 'started', 'inquire', :lease_end, :lease_token, :send_until, :now
    FROM unnest(CAST(:payment_ids AS bigint[]), CAST(:accounts AS text[]), CAST(:references AS bigint[]),
                CAST(:amounts AS bigint[]), CAST(:cards AS bigint[]), CAST(:by_tokens AS boolean[]),
                CAST(:keep_cards AS boolean[])) AS v(payment_id, account, reference, amount, card, by_token, keep_card)
    JOIN payments p ON p.id = v.payment_id
    RETURNING id, payment_id, reference, amount_minor, gateway, account, currency, card_fingerprint, by_token,
              keep_card""")

_A_WHILE: Final = timedelta(minutes=15)
_HOURS: Final = timedelta(hours=4)
_POSTPONE = text("""
    UPDATE payments SET due_at = :until, reason = :why WHERE id = ANY(CAST(:ids AS bigint[]))""")


def facts_of(conn: Connection, payment_ids: Sequence[int], now: datetime) -> dict[int, Row[Any]]:
    """What each payment's invoices owe now, and what else decides whether it is charged (see _FACTS)."""
    return {row.id: row for row in conn.execute(_FACTS, {"ids": list(payment_ids), "now": now})}


def card_counts(fact: Row[Any]) -> retry.CardCounts:
    """How often the payment's card was tried at its gateway, over all payments (R16)."""
    return retry.CardCounts(fact.last_day, fact.last_month, fact.same_charge, fact.blocked)


class _Beside:
    """What a customer's payments in one currency are charged in the same group, by the invoices they name."""

    def __init__(self) -> None:
        self._all_minor = 0
        self._unnamed_minor = 0
        self._naming: dict[int, list[tuple[int, int]]] = {}

    def add(self, payment: Row[Any], amount_minor: int) -> None:
        """It is charged, too."""
        self._all_minor += amount_minor
        if payment.invoice_ids is None:
            self._unnamed_minor += amount_minor
        for invoice_id in payment.invoice_ids or ():
            self._naming.setdefault(invoice_id, []).append((payment.id, amount_minor))

    def overlapping(self, payment: Row[Any]) -> int:
        """The sum of those that name a common invoice, or one of both names none (R8a)."""
        if payment.invoice_ids is None:
            return self._all_minor
        common = {other: amount for named in payment.invoice_ids for other, amount in self._naming.get(named, ())}
        return self._unnamed_minor + sum(common.values())


@dataclass(frozen=True, slots=True)
class _Turn:
    """A claimed payment that is not charged: the move it makes, and why."""

    move: str
    why: str


@dataclass(frozen=True, slots=True)
class _Later:
    """A claimed payment that is looked at again after `delay`."""

    delay: timedelta
    why: str


def _judge(payment: Row[Any], fact: Row[Any], beside: _Beside, terms: Terms, now: datetime) -> Charge | _Turn | _Later:
    """What becomes of one claimed payment; `beside` are the customer's that are charged in the same group (R8)."""
    today = terms.today(now)
    if payment.cancel_wish_by:
        return _Turn("cancel", f"cancelled by {payment.cancel_wish_by}")
    if fact.held_till and stored_cards.unattended(
        attended=payment.attended, attempts=payment.attempts, failures=payment.failures
    ):
        return _Later(fact.held_till - now, holds.WAITS)
    if payment.gateway not in terms.gateways:
        return _Turn("ask", f"gateway {payment.gateway} is not configured any more")
    if expires_before(payment.card_exp_month, payment.card_exp_year, today):
        return _Turn("decline", "the card has expired: ask for another one")
    if fact.surplus:
        return _Turn("ask", "an attempt before was approved after all, and goes back to the card")
    counts = card_counts(fact)
    if payment.attempts and (capped := retry.cap_reached(counts, terms.policy)):
        if retry.frees_by_itself(counts, terms.policy):
            return _Later(_HOURS, f"waits: {capped}")
        return _Turn("decline", f"no further attempt: {capped}")
    if fact.reversing:
        return _Later(_HOURS, "waits for the reversal of an earlier payment")
    under_way = fact.under_way + (0 if payment.allow_overlap else beside.overlapping(payment))
    decision = decide(
        payment.total_minor,
        payment.owed_at_request_minor,
        max(0, fact.owed - under_way),
        payment.as_credit,
        WhenOwedLess(payment.when_owed_less),
    )
    if under_way and decision != Charge(payment.total_minor):
        # What the others leave to be paid is known when they are answered; a decline leaves all of it.
        return _Later(_A_WHILE, "waits for a charge under way for the same invoices")
    match decision:
        case Charge():
            return decision
        case NoLongerOwed():
            return _Turn("cancel", "no longer owed")
        case AskFirst(owed_minor):
            return _Turn("ask", f"only {owed_minor} of {payment.total_minor} minor units are still owed")


def begin(
    conn: Connection,
    scope: claim.Scope,
    most: int,
    terms: Terms,
    now: datetime,
    by: str,
    breaker: routing.Breaker,
) -> tuple[list[Begun], Tally]:
    """Claim due card payments, look once more whether each is still owed (R8), and commit a sale for each that is.

    Returns the sales to send, and the payments that took another turn: cancelled, asked about, declined, postponed.
    """
    claimed = claim.payments(conn, "charge", scope, most, now)
    tally = Tally()
    if claimed and isinstance(scope, claim.Batch):
        tend(conn, scope.batch_id, now)
    claimed = routing.past_rests(conn, claimed, breaker, terms, tally, now, by)
    if not claimed:
        return [], tally
    facts = facts_of(conn, [payment.id for payment in claimed], now)
    charges: list[tuple[Row[Any], int]] = []
    turns: list[tuple[Row[Any], str, str]] = []
    postponed: dict[_Later, list[int]] = {}
    besides: dict[tuple[int, str], _Beside] = {}
    for payment in claimed:
        beside = besides.setdefault((payment.customer_id, payment.currency), _Beside())
        match _judge(payment, facts[payment.id], beside, terms, now):
            case Charge(amount):
                charges.append((payment, amount))
                beside.add(payment, amount)
            case _Turn(move, why):
                turns.append((payment, move, why))
            case _Later() as later:
                postponed.setdefault(later, []).append(payment.id)
    for later, ids in postponed.items():
        conn.execute(_POSTPONE, {"ids": ids, "until": now + later.delay, "why": later.why})
        tally.postponed += len(ids)
    _turn(conn, turns, tally, now, by)
    begun: list[Begun] = []

    def set_aside(charge: tuple[Row[Any], int], error: str) -> None:
        claim.put_off(conn, charge[0], f"the charge could not be begun ({error}): a person must look", now, by)
        tally.set_aside += 1

    def write(group: Sequence[tuple[Row[Any], int]]) -> None:
        begun.extend(_start(conn, group, facts, terms, now, by))

    apart.each(conn, charges, write, set_aside)
    return begun, tally


def _start(
    conn: Connection,
    charges: Sequence[tuple[Row[Any], int]],
    facts: Mapping[int, Row[Any]],
    terms: Terms,
    now: datetime,
    by: str,
) -> list[Begun]:
    if not charges:
        return []
    lease_token = secrets.randbits(62)
    send_until = now + terms.send_within
    accounts = {name: at.account for name, at in terms.gateways.items()}
    known = gateway_cards.at_hand(conn, (payment for payment, _ in charges), accounts)
    cards = [known.get(payment.id) for payment, _ in charges]
    keeps = [_is_to_be_kept(payment, known.get(payment.id)) for payment, _ in charges]
    started = conn.execute(
        _START,
        {
            "payment_ids": [payment.id for payment, _ in charges],
            "accounts": [accounts[payment.gateway] for payment, _ in charges],
            "references": [draw_reference() for _ in charges],
            "amounts": [amount for _, amount in charges],
            "cards": [card.id if card else None for card in cards],
            "by_tokens": [card is not None and card.stands_in for card in cards],
            "keep_cards": keeps,
            "lease_end": send_until + terms.answer_within,
            "lease_token": lease_token,
            "send_until": send_until,
            "now": now,
        },
    ).all()
    advance(
        conn,
        Subject.PAYMENTS,
        [Move(payment.id, states.Payment(payment.state), "charge") for payment, _ in charges],
        now,
        by,
        {"attempts": [payment.attempts + 1 for payment, _ in charges], "reason": [""] * len(charges)},
    )
    payments = {payment.id: payment for payment, _ in charges}
    return [
        to_send(row, payments[row.payment_id], facts[row.payment_id], lease_token, 0, known.get(row.payment_id))
        for row in started
    ]


def to_send(
    sale: Row[Any], payment: Row[Any], fact: Row[Any], lease_token: int, counted: int, card: GatewayCard | None
) -> Begun:
    """A sale as it goes on the wire: the same at every send (E4). `counted`: 1 where its attempt is counted already."""
    return Begun(
        transaction_id=sale.id,
        lease_token=lease_token,
        payment_id=payment.id,
        gateway=sale.gateway,
        reference=sale.reference,
        amount_minor=sale.amount_minor,
        currency=sale.currency,
        card_token=payment.card_token,
        invoice_number=fact.invoice_number,
        account=sale.account,
        card_fingerprint=sale.card_fingerprint,
        credential=_credential(sale, payment, counted, card),
        keep_card=sale.keep_card,
        by_token=sale.by_token,
        stored=card.token if card and sale.by_token else None,
    )


def _credential(sale: Row[Any], payment: Row[Any], counted: int, card: GatewayCard | None) -> StoredCredential | None:
    """What the networks are told of the sale (C4), from what stands in its row and beside it."""
    first = None
    if card and card.network_reference:
        first = FirstSale(card.network_reference, card.first_amount_minor if card.currency == sale.currency else None)
    return stored_cards.stored_credential(
        unattended=stored_cards.unattended(
            attended=payment.attended, attempts=payment.attempts - counted, failures=payment.failures
        ),
        recurring=payment.recurring or payment.initiated_by == Initiator.SCHEDULE,
        to_keep=sale.keep_card,
        stored=sale.by_token or card is not None,
        first=first,
    )


def _is_to_be_kept(payment: Row[Any], card: GatewayCard | None) -> bool:
    """C4: a card that serves more than this payment, and for which the gateway has given and refused no token yet."""
    return not payment.card_once and (card is None or (card.token is None and not card.refused))


def _turn(conn: Connection, turns: Sequence[tuple[Row[Any], str, str]], tally: Tally, now: datetime, by: str) -> None:
    """Payments that are not charged: each (row, move, why)."""
    advance(
        conn,
        Subject.PAYMENTS,
        [Move(payment.id, states.Payment(payment.state), move, why) for payment, move, why in turns],
        now,
        by,
        {"reason": [why for _, _, why in turns]},
    )
    for _, move, _ in turns:
        tally.count(move)
    ended = [payment.id for payment, move, _ in turns if move != "ask" and payment.card_once]
    tally.spent_cards += kept_cards.spent(conn, ended)
