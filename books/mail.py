"""Receipts by e-mail: what is to be sent stands here, and is claimed, tried and tried again by its row (D1, D2)."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

from sqlalchemy import Connection, text

from books.history import tell
from books.receipt import receipt

LEASE: Final = timedelta(minutes=5)
"""How long who claimed a mail may take: longer than all time-outs of handing it over."""

AGAIN: Final = tuple(timedelta(minutes=minutes) for minutes in (5, 30, 120, 360, 900))
"""What is waited after each try that proved nothing: six tries within about a day."""

TRIES: Final = len(AGAIN) + 1
"""After so many it has failed."""


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


# A mail that was claimed as often as it may be, and never heard of again, is given up instead of claimed once more.
_GIVE_UP = text("""
    UPDATE mails SET state = 'failed', next_step = NULL, due_at = NULL, lease_token = NULL, ended_at = :now,
                     said = 'whether the last try arrived is not known'
    WHERE id IN (SELECT id FROM mails WHERE next_step = 'mail' AND due_at <= :now AND tries >= :tries
                 FOR NO KEY UPDATE SKIP LOCKED)""")
_CLAIM = text("""
    UPDATE mails SET due_at = :until, tries = tries + 1, lease_token = :token
    WHERE id IN (
        SELECT id FROM mails
        WHERE next_step = 'mail' AND due_at <= :now AND (CAST(:mail_id AS bigint) IS NULL OR id = :mail_id)
        ORDER BY due_at, id LIMIT :most FOR NO KEY UPDATE SKIP LOCKED)
    RETURNING id, payment_id, address, message_id, asked_at, lease_token""")


def claim(conn: Connection, mail_id: int | None, most: int, now: datetime) -> list[Claimed]:
    """At most so many due mails (or the one named), each counted as tried; nothing found is a normal outcome."""
    conn.execute(_GIVE_UP, {"now": now, "tries": TRIES})
    asked = {
        "mail_id": mail_id,
        "most": most,
        "now": now,
        "until": now + LEASE,
        "token": secrets.randbits(62),
    }
    return sorted((Claimed(**row._mapping) for row in conn.execute(_CLAIM, asked)), key=lambda one: one.id)


_LOOK = text("SELECT tries FROM mails WHERE id = :id AND lease_token = :token AND state = 'due' FOR NO KEY UPDATE")
_END = text("""
    UPDATE mails SET state = :state, next_step = NULL, due_at = NULL, lease_token = NULL, said = :said, ended_at = :now
    WHERE id = :id""")
_AGAIN = text("UPDATE mails SET due_at = :due_at, lease_token = NULL, said = :said WHERE id = :id")

Became = Literal["sent", "refused", "not sent"]
"""What became of one try: taken, refused for good, or to be tried again."""


def finish(conn: Connection, mail: Claimed, became: Became, said: str, now: datetime, by: str) -> str | None:
    """Record one try; the state that the mail is in now, None where the lease has passed on to somebody else."""
    tries: int | None = conn.execute(_LOOK, {"id": mail.id, "token": mail.lease_token}).scalar_one_or_none()
    if tries is None:
        return None
    if became == "not sent" and tries < TRIES:
        conn.execute(_AGAIN, {"id": mail.id, "due_at": now + AGAIN[tries - 1], "said": said})
        return "due"
    state = "sent" if became == "sent" else "failed"
    conn.execute(_END, {"id": mail.id, "state": state, "said": said, "now": now})
    tell(conn, f"receipt.mail_{state}", now, by, f"to {mail.address}: {said}", payment_id=mail.payment_id)
    return state


_OF = text("""
    SELECT id, address, state, tries, said, due_at, asked_at, asked_by, ended_at
    FROM mails WHERE payment_id = :payment_id ORDER BY id DESC LIMIT :most""")


def mails_of(conn: Connection, payment_id: int, most: int = 20) -> tuple[Mail, ...]:
    """The mails of a payment's receipt, the latest first."""
    return tuple(Mail(**row._mapping) for row in conn.execute(_OF, {"payment_id": payment_id, "most": most}))
