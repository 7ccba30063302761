"""Receipts by e-mail: what is to be sent stands here, and is claimed, tried and tried again by its row (D1, D2)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, text

from books.history import tell
from books.outbox import Became, Outbox
from books.receipt import receipt


@dataclass(frozen=True, slots=True)
class Mail:
    """A mail that was asked for, and what became of it."""

    id: int
    address: str
    state: str  # due, sent, failed
    tries: int
    said: str
    due_at: datetime | None
    asked_at: datetime
    asked_by: str
    ended_at: datetime | None


@dataclass(frozen=True, slots=True)
class Claimed:
    """A mail that is ours to send until the lease ends."""

    id: int
    payment_id: int
    address: str
    message_id: str
    asked_at: datetime
    lease_token: int


_ASK = text("""
    INSERT INTO mails (payment_id, address, message_id, state, next_step, due_at, asked_at, asked_by)
    VALUES (:payment_id, :address, :message_id, 'due', 'mail', :now, :now, :by)
    ON CONFLICT (message_id) DO NOTHING RETURNING id""")


def ask(conn: Connection, payment_id: int, address: str, message_id: str, now: datetime, by: str) -> int | None:
    """Let a payment's receipt be sent; its id, None where this very mail was asked for before.

    The Message-ID is drawn by who asks, so that a mail that is sent twice after a lost answer is seen as one. Raises
    NotFound where the payment has no receipt.
    """
    paid = receipt(conn, payment_id)
    asked = {"payment_id": payment_id, "address": address, "message_id": message_id, "now": now, "by": by}
    mail_id: int | None = conn.execute(_ASK, asked).scalar_one_or_none()
    if mail_id is not None:
        why = f"the receipt is to be sent to {address}"
        tell(conn, "receipt.mail_asked", now, by, why, customer_id=paid.customer_id, payment_id=payment_id)
    return mail_id


_OUTBOX: Final = Outbox("mails", "payment_id", "address", "message_id", "asked_at")


def claim(conn: Connection, mail_id: int | None, most: int, now: datetime) -> list[Claimed]:
    """At most so many due mails (or the one named), each counted as tried; nothing found is a normal outcome."""
    return [Claimed(**row._mapping) for row in _OUTBOX.claim(conn, mail_id, most, now)]


def finish(conn: Connection, mail: Claimed, became: Became, said: str, now: datetime, by: str) -> str | None:
    """Record one try; the state that the mail is in now, None where the lease has passed on to somebody else."""
    state = _OUTBOX.finish(conn, mail.id, mail.lease_token, became, said, now)
    if state in ("sent", "failed"):
        tell(conn, f"receipt.mail_{state}", now, by, f"to {mail.address}: {said}", payment_id=mail.payment_id)
    return state


_OF = text("""
    SELECT id, address, state, tries, said, due_at, asked_at, asked_by, ended_at
    FROM mails WHERE payment_id = :payment_id ORDER BY id DESC LIMIT :most""")


def mails_of(conn: Connection, payment_id: int, most: int = 20) -> tuple[Mail, ...]:
    """The mails of a payment's receipt, the latest first."""
    return tuple(Mail(**row._mapping) for row in conn.execute(_OF, {"payment_id": payment_id, "most": most}))
