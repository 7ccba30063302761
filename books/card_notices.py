"""That stored cards expire soon is told once each: to apps as an event, to the customer or the office by mail.

Which cards are due is asked of their dates each time (rules.card_expiry), so that no message and no clock of a
process has to be kept; the row that says that it was told is committed with the event. Cards that were removed, and
those that a renewed one took the place of, are told of no more: nothing charges them.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

from sqlalchemy import Connection, text

from books.history import tell
from books.outbox import Became, Outbox
from rules.card_expiry import MailTo, Month, Notice, spans
from rules.cards import expires_before
from rules.emails import check_email

# In the order of the index, so that two who tell at once wait for each other and never in a circle. The notice is
# written before its event, whose id is drawn by a transaction that has its number by then (books.feed).
_TELL = text("""
    WITH due AS (
        SELECT k.id, k.customer_id, k.brand, k.last_four, k.exp_month, k.exp_year FROM kept_cards k
        WHERE k.removed_at IS NULL
          AND (k.exp_year, k.exp_month) >= (CAST(:first_year AS integer), CAST(:first_month AS integer))
          AND (k.exp_year, k.exp_month) <= (CAST(:last_year AS integer), CAST(:last_month AS integer))
          AND NOT EXISTS (SELECT FROM card_notices n WHERE n.kept_card_id = k.id AND n.notice = :notice)
        ORDER BY k.exp_year, k.exp_month, k.id LIMIT :most
    ), told AS (
        INSERT INTO card_notices (kept_card_id, notice, told_at, mail_to, message_id, state, next_step, due_at)
        SELECT id, :notice, :now, :mail_to, '<' || gen_random_uuid() || '@' || CAST(:domain AS text) || '>',
               CASE WHEN :mailed THEN 'due' ELSE 'told' END, CASE WHEN :mailed THEN 'mail' END,
               CASE WHEN :mailed THEN CAST(:now AS timestamptz) END
        FROM due ORDER BY exp_year, exp_month, id
        ON CONFLICT (kept_card_id, notice) DO NOTHING RETURNING id, kept_card_id
    ), said AS (
        INSERT INTO events (at, what, customer_id, why, by, details)
        SELECT :now, 'card.expiring', due.customer_id,
               'the card ending in ' || due.last_four || ' expires at the end of '
               || to_char(due.exp_month, 'FM00') || '/' || due.exp_year,
               :by, jsonb_build_object('card', jsonb_build_object(
                   'id', due.id, 'brand', due.brand, 'last_four', due.last_four,
                   'exp_month', due.exp_month, 'exp_year', due.exp_year, 'notice', CAST(:notice AS text)))
        FROM told JOIN due ON due.id = told.kept_card_id ORDER BY told.id
    )
    SELECT count(*) FROM told""")


@dataclass(frozen=True, slots=True)
class Told:
    """What one look found; `more`: there may be others that nobody else tells of right now."""

    cards: int
    more: bool


def tell_of(
    conn: Connection, today: date, days: int, mail_to: MailTo, domain: str, most: int, now: datetime, by: str
) -> Told:
    """Tell of at most so many cards a notice. `days`: before its last month a card expires soon.

    `domain`: of the address that mails come from.
    """
    cards, more = 0, False
    for span in spans(today, days):
        asked = {
            "notice": span.notice.value,
            **_months(span.first, span.last),
            "mail_to": mail_to.value,
            "mailed": mail_to is not MailTo.NOBODY,
            "domain": domain,
            "most": most,
            "now": now,
            "by": by,
        }
        told = int(conn.execute(_TELL, asked).scalar_one())
        cards += told
        more = more or told == most
    return Told(cards, more)


@dataclass(frozen=True, slots=True)
class Expiring:
    """A kept card that expires soon, and whose it is."""

    customer_id: int
    customer: str
    customer_name: str
    brand: str
    last_four: str
    exp_month: int
    exp_year: int


_EXPIRING = text("""
    SELECT k.customer_id, c.number AS customer, c.name AS customer_name, k.brand, k.last_four, k.exp_month, k.exp_year
    FROM kept_cards k JOIN customers c ON c.id = k.customer_id
    WHERE k.removed_at IS NULL
      AND (k.exp_year, k.exp_month) >= (CAST(:first_year AS integer), CAST(:first_month AS integer))
      AND (k.exp_year, k.exp_month) <= (CAST(:last_year AS integer), CAST(:last_month AS integer))
    ORDER BY k.exp_year, k.exp_month, k.id LIMIT :most""")


def expiring(conn: Connection, first: Month, last: Month, most: int) -> list[Expiring]:
    """At most so many kept cards that expire in these months, the earliest first."""
    asked = {**_months(first, last), "most": most}
    return [Expiring(**row._mapping) for row in conn.execute(_EXPIRING, asked)]


@dataclass(frozen=True, slots=True)
class Claimed:
    """The mail of a notice that is ours to send until the lease ends."""

    id: int
    lease_token: int
    kept_card_id: int
    message_id: str
    told_at: datetime


@dataclass(frozen=True, slots=True)
class Letter:
    """What the mail of a notice says; without an address it is for the office."""

    address: str | None
    customer: str
    customer_name: str
    brand: str
    last_four: str
    exp_month: int
    exp_year: int
    notice: Notice


_OUTBOX: Final = Outbox("card_notices", "kept_card_id", "message_id", "told_at")
_LETTER = text("""
    SELECT n.mail_to, n.notice, k.brand, k.last_four, k.exp_month, k.exp_year, k.removed_at,
           c.number AS customer, c.name AS customer_name, c.email
    FROM card_notices n JOIN kept_cards k ON k.id = n.kept_card_id JOIN customers c ON c.id = k.customer_id
    WHERE n.id = :id""")
_CUSTOMER = text("SELECT customer_id FROM kept_cards WHERE id = :id")


def claim(conn: Connection, most: int, now: datetime) -> list[Claimed]:
    """At most so many notices whose mail is due, each counted as tried; nothing found is a normal outcome."""
    return [Claimed(**row._mapping) for row in _OUTBOX.claim(conn, None, most, now)]


def letter(conn: Connection, claimed: Claimed, today: date) -> Letter | None:
    """What the mail says, to the address that the customer has by now; None where the card is gone or no good."""
    row = conn.execute(_LETTER, {"id": claimed.id}).one()
    if row.removed_at is not None or expires_before(row.exp_month, row.exp_year, today):
        return None
    address = check_email("email", row.email) if row.mail_to == MailTo.CUSTOMER else None
    return Letter(
        address=address if isinstance(address, str) else None,
        customer=row.customer,
        customer_name=row.customer_name,
        brand=row.brand,
        last_four=row.last_four,
        exp_month=row.exp_month,
        exp_year=row.exp_year,
        notice=Notice(row.notice),
    )


def _months(first: Month, last: Month) -> dict[str, int]:
    return {"first_year": first[0], "first_month": first[1], "last_year": last[0], "last_month": last[1]}


def finish(conn: Connection, claimed: Claimed, became: Became, said: str, now: datetime, by: str) -> str | None:
    """Record one try; the state that the mail is in now, None where the lease has passed on to somebody else."""
    state = _OUTBOX.finish(conn, claimed.id, claimed.lease_token, became, said, now)
    if state in ("sent", "failed"):
        customer_id = conn.execute(_CUSTOMER, {"id": claimed.kept_card_id}).scalar_one()
        tell(conn, f"card.mail_{state}", now, by, said, customer_id=customer_id)
    return state
