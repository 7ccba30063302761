"""Where a payment goes whose gateway is rested or certainly did not charge it (E6).

A payment is turned only while it has no sale that may yet be approved: when it is claimed to be charged, or in the
transaction that recorded why its last sale failed. Its `gateway` is then that of every sale to come.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from sqlalchemy import Connection, Row, text

from books.tally import Tally
from books.terms import Terms
from rules import routes
from rules.breaking import Rest, WhenRested, after, first_awake
from rules.cards import Brand


class Breaker(Protocol):
    """What is known of gateways that keep failing."""

    def rests(self) -> Mapping[str, Rest]:
        """The gateways that are rested now, by name."""

    def try_again(self, gateway: str) -> int:
        """How many calls may find out, after its rest, whether a gateway works again."""


_NUMBERS = text("SELECT id, number FROM customers WHERE id = ANY(CAST(:ids AS bigint[]))")
_TURN = text("""
    WITH v AS (
        SELECT * FROM unnest(CAST(:ids AS bigint[]), CAST(:gateways AS text[]), CAST(:whys AS text[]))
             AS v(id, gateway, why)
    ), u AS (
        UPDATE payments p SET gateway = v.gateway FROM v WHERE p.id = v.id RETURNING p.*, v.why
    ), e AS (
        INSERT INTO events (at, what, customer_id, payment_id, batch_id, why, by)
        SELECT :now, 'payment.rerouted', u.customer_id, u.id, u.batch_id, u.why, :by FROM u ORDER BY u.id
    ) SELECT * FROM u""")
# Spread over half a rest, so that what waited does not come at one moment.
_PUT_OFF = text("""
    UPDATE payments p SET due_at = :now + v.wait + v.rest * ((p.id % 16) / 32.0), reason = v.why
    FROM unnest(CAST(:ids AS bigint[]), CAST(:waits AS interval[]), CAST(:rests AS interval[]), CAST(:whys AS text[]))
         AS v(id, wait, rest, why)
    WHERE p.id = v.id""")


def ways(conn: Connection, payments: Iterable[Row[Any]], terms: Terms) -> dict[int, tuple[str, ...]]:
    """By each payment's id the configured gateways of its route, in their order; none where no route falls back."""
    wanted = list(payments)
    if not wanted or not any(len(route.groups) > 1 for route in terms.routes):
        return {}
    ids = list({payment.customer_id for payment in wanted})
    numbers = {row.id: row.number for row in conn.execute(_NUMBERS, {"ids": ids})}
    found = {}
    for payment in wanted:
        asked = routes.Asked(
            Brand(payment.card_brand),
            payment.currency,
            payment.total_minor,
            numbers[payment.customer_id],
            payment.idempotency_key,
        )
        found[payment.id] = tuple(name for name in routes.way(terms.routes, asked) if name in terms.gateways)
    return found


def past_rests(
    conn: Connection, claimed: Sequence[Row[Any]], breaker: Breaker, terms: Terms, tally: Tally, now: datetime, by: str
) -> Sequence[Row[Any]]:
    """Those of claimed payments that can be charged now; the others are put off to the end of their gateway's rest.

    One that may go elsewhere does so at once, and comes with its new gateway.
    """
    rests = breaker.rests()
    resting = [payment for payment in claimed if payment.gateway in rests]
    if not resting:
        return claimed
    stays = _trying(resting, rests, breaker)
    waits = {payment.id: payment for payment in resting if payment.id not in stays}
    turned = _turn_elsewhere(conn, waits.values(), rests, terms, now, by)
    late = [payment for payment in waits.values() if payment.id not in turned]
    _put_off(conn, late, rests, now)
    tally.rerouted += len(turned)
    tally.postponed += len(late)
    waiting = {payment.id for payment in late}
    return [turned.get(payment.id, payment) for payment in claimed if payment.id not in waiting]


def _trying(resting: Sequence[Row[Any]], rests: Mapping[str, Rest], breaker: Breaker) -> set[int]:
    """The few that find out whether a gateway works again."""
    chosen: set[int] = set()
    for gateway, rest in rests.items():
        there = [payment.id for payment in resting if payment.gateway == gateway]
        if there and rest.over:
            chosen.update(there[: breaker.try_again(gateway)])
    return chosen


def _turn_elsewhere(
    conn: Connection,
    payments: Iterable[Row[Any]],
    rests: Mapping[str, Rest],
    terms: Terms,
    now: datetime,
    by: str,
) -> dict[int, Row[Any]]:
    if terms.when_rested is not WhenRested.ELSEWHERE:
        return {}
    moved: dict[int, tuple[str, str]] = {}
    wanted = {payment.id: payment for payment in payments}
    for payment_id, way in ways(conn, wanted.values(), terms).items():
        payment = wanted[payment_id]
        # One that failed somewhere goes on to what comes behind, so that it never turns in a circle.
        others = after(way, payment.gateway) if payment.failures else [one for one in way if one != payment.gateway]
        if found := first_awake(others, rests.__contains__):
            moved[payment_id] = (found, f"{found} takes over: {rests[payment.gateway].words(payment.gateway)}")
    if not moved:
        return {}
    values = {
        "ids": list(moved),
        "gateways": [gateway for gateway, _ in moved.values()],
        "whys": [why for _, why in moved.values()],
        "now": now,
        "by": by,
    }
    return {row.id: row for row in conn.execute(_TURN, values)}


def _put_off(conn: Connection, late: Sequence[Row[Any]], rests: Mapping[str, Rest], now: datetime) -> None:
    if late:
        of_each = [rests[payment.gateway] for payment in late]
        values = {
            "ids": [payment.id for payment in late],
            "waits": [rest.left for rest in of_each],
            "rests": [rest.whole for rest in of_each],
            "whys": [f"waits: {rests[payment.gateway].words(payment.gateway)}" for payment in late],
            "now": now,
        }
        conn.execute(_PUT_OFF, values)
