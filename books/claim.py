"""Claiming due work (D2): whoever holds a customer's lock works on its payments.

The lock of a customer is the first lock of every transaction that moves its money (B3), so it serves as the claim's
fence too: SKIP LOCKED passes over customers that another lane is busy with; the next claim finds them. Who found only
busy ones can come again patiently: then they are waited for, in the order of B3 and for a short time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final, Literal

from psycopg.errors import LockNotAvailable
from sqlalchemy import Connection, Row, text
from sqlalchemy.exc import OperationalError

from books.epoch import NOT_QUARANTINED
from books.history import tell

Step = Literal["post", "charge"]


@dataclass(frozen=True, slots=True)
class Batch:
    """The due payments of one batch; `patient`: busy customers are waited for."""

    batch_id: int
    patient: bool = False


@dataclass(frozen=True, slots=True)
class Single:
    """One payment that somebody waits for."""

    payment_id: int


@dataclass(frozen=True, slots=True)
class Singles:
    """All due payments that belong to no batch; `patient`: busy customers are waited for."""

    patient: bool = False


Scope = Batch | Single | Singles


def patiently(scope: Scope) -> Scope:
    """The same payments, their customers waited for."""
    return scope if isinstance(scope, Single) else replace(scope, patient=True)


# E7: what is posted is no gateway's business, and goes on.
_MAY_GO_ON: Final = f"(:step <> 'charge' OR {NOT_QUARANTINED})"
_WITHIN: Final = {Batch: "p.batch_id = :of", Single: "p.id = :of", Singles: "p.batch_id IS NULL"}


def _of(scope: Scope) -> dict[str, int]:
    match scope:
        case Batch(batch_id=batch_id):
            return {"of": batch_id}
        case Single(payment_id):
            return {"of": payment_id}
        case Singles():
            return {}


# Where somebody waits for one payment, its customer is waited for, however long it takes.
_CANDIDATES: Final = {
    (kind, patient): text(f"""
        SELECT p.id FROM payments p JOIN customers c ON c.id = p.customer_id
        WHERE p.next_step = :step AND {within} AND p.due_at <= :now AND {_MAY_GO_ON}
        ORDER BY p.customer_id, p.id LIMIT :most
        FOR NO KEY UPDATE OF c {"" if patient or kind is Single else "SKIP LOCKED"}""")
    for kind, within in _WITHIN.items()
    for patient in (False, True)
}
_WAIT = text("SET LOCAL lock_timeout = '2s'")
_WAIT_NO_MORE = text("SET LOCAL lock_timeout = DEFAULT")
# Read again once the customer is ours: a candidate may have been worked on since the first statement's snapshot.
_MINE = text("""
    SELECT p.* FROM payments p WHERE p.id = ANY(CAST(:ids AS bigint[])) AND p.next_step = :step AND p.due_at <= :now
    ORDER BY p.id""")
_LEFT: Final = {
    kind: text(f"""
        SELECT EXISTS (SELECT 1 FROM payments p WHERE p.next_step = :step AND {within} AND p.due_at <= :now
                       AND {_MAY_GO_ON})""")
    for kind, within in _WITHIN.items()
}


def payments(conn: Connection, step: Step, scope: Scope, most: int, now: datetime) -> Sequence[Row[Any]]:
    """At most so many due payments of customers whose locks are now held, in the order of their ids; may be none."""
    sent = {"step": step, "now": now, "most": most, **_of(scope)}
    if isinstance(scope, Single) or not scope.patient:
        ids = conn.execute(_CANDIDATES[type(scope), False], sent).scalars().all()
    else:
        ids = _waited_for(conn, scope, sent)
    return conn.execute(_MINE, {"ids": ids, "step": step, "now": now}).all() if ids else []


def _waited_for(conn: Connection, scope: Scope, sent: Mapping[str, object]) -> Sequence[int]:
    try:
        with conn.begin_nested():
            conn.execute(_WAIT)
            ids = conn.execute(_CANDIDATES[type(scope), True], sent).scalars().all()
            conn.execute(_WAIT_NO_MORE)
    except OperationalError as error:
        if isinstance(error.orig, LockNotAvailable):
            return []
        raise
    return ids


def is_left(conn: Connection, step: Step, scope: Scope, now: datetime) -> bool:
    """Whether something is due that a claim may have passed over because its customer was busy."""
    return bool(conn.execute(_LEFT[type(scope)], {"step": step, "now": now, **_of(scope)}).scalar_one())


_LOCK = text("SELECT id FROM customers WHERE id = ANY(CAST(:ids AS bigint[])) ORDER BY id FOR NO KEY UPDATE")


def customers(conn: Connection, customer_ids: Sequence[int]) -> None:
    """Lock customers in ascending order, once a transaction and before any payment or invoice (B3)."""
    conn.execute(_LOCK, {"ids": sorted(set(customer_ids))})


_PUT_OFF = text("UPDATE payments SET due_at = :until, reason = :why WHERE id = :id")


def put_off(conn: Connection, payment: Row[Any], why: str, now: datetime, by: str) -> None:
    """Set a due payment that the database refuses aside for a quarter of an hour, with an alarm."""
    conn.execute(_PUT_OFF, {"id": payment.id, "until": now + timedelta(minutes=15), "why": why})
    tell(conn, "alarm.payment_set_aside", now, by, why, customer_id=payment.customer_id, payment_id=payment.id)
