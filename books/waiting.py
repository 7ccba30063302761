"""What waits for a person: what it is, since when and why; found by small partial indexes, however large the tables.

Who works on something already (a gateway that is still asked, a retry that is scheduled) is no matter for a person.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from sqlalchemy import Connection, TextClause, text

ASKED_ENOUGH: Final = 8
"""After so many inquiries an outcome is a matter for a person too: then all growing intervals were used up (E4)."""
REFUND_AGE: Final = timedelta(days=30)
"""So long it is shown that a refund of a posted payment failed: nothing moved, and whoever wants it asks again."""
MAIL_AGE: Final = timedelta(days=7)
"""A receipt that could not be sent so long ago is nobody's matter any more."""


class Kind(StrEnum):
    """What is waited for, in the order of urgency."""

    UNKNOWN = "unknown"  # whether a card was charged
    HELD = "held"  # a charge that the gateway holds, or that does not fit (R18)
    PROPOSED = "proposed"  # above somebody's limit
    REFUND = "refund"  # whether the amount goes back to the card (R12)
    FAILED = "failed"  # it did not get back
    DISPUTE = "dispute"  # the payer's bank took a charge back for now (R17)
    OWED_LESS = "owed_less"  # less is owed than was to be charged (R8)
    PART_FAILED = "part_failed"  # a refund of a posted payment failed: ask for it again? (R17)
    MAIL = "mail"  # a receipt that could not be sent


@dataclass(frozen=True, slots=True)
class Item:
    """One payment that waits for a person."""

    payment_id: int
    customer_id: int
    customer: str
    customer_name: str
    amount_minor: int
    currency: str
    since: datetime
    why: str


@dataclass(frozen=True, slots=True)
class Group:
    """What waits for the same thing, the oldest first; `more` was left out."""

    kind: Kind
    items: tuple[Item, ...]
    more: bool


# A sale in review has its payment in review, too, but for moments.
_HELD: Final = """EXISTS (
    SELECT 1 FROM gateway_transactions t
    WHERE t.payment_id = p.id AND t.operation = 'sale' AND t.state IN ('unknown', 'review'))"""
_NOT_PROPOSED: Final = "NOT EXISTS (SELECT 1 FROM proposals o WHERE o.payment_id = r.payment_id AND o.decision IS NULL)"
_FOUND: Final = {
    Kind.UNKNOWN: """
        SELECT t.id AS place, t.payment_id, t.amount_minor, t.currency, t.started_at AS since,
               'asked ' || t.asked || ' times; ' || t.message AS why
        FROM gateway_transactions t JOIN payments p ON p.id = t.payment_id
        WHERE t.operation = 'sale' AND t.state = 'unknown' AND t.asked >= :asked AND p.state <> 'review'""",
    Kind.HELD: f"""
        SELECT p.id AS place, p.id AS payment_id, p.total_minor AS amount_minor, p.currency, p.recorded_at AS since,
               p.reason AS why
        FROM payments p WHERE p.state = 'review' AND {_HELD}""",
    Kind.PROPOSED: """
        SELECT o.id AS place, o.payment_id, o.amount_minor, o.currency, o.asked_at AS since,
               o.asked_by || ' asks for a ' || split_part(o.kind, '_', 1) || ': ' || o.reason AS why
        FROM proposals o WHERE o.decision IS NULL""",
    Kind.REFUND: f"""
        SELECT r.id AS place, r.payment_id, r.amount_minor, r.currency, r.started_at AS since, r.reason AS why
        FROM reversals r
        WHERE r.purpose = 'void' AND r.state = 'refund_awaiting_approval' AND {_NOT_PROPOSED}""",
    Kind.FAILED: f"""
        SELECT r.id AS place, r.payment_id, r.amount_minor, r.currency, coalesce(r.ended_at, r.started_at) AS since,
               r.reason AS why
        FROM reversals r WHERE r.purpose = 'void' AND r.state = 'failed' AND {_NOT_PROPOSED}""",
    Kind.DISPUTE: """
        SELECT d.id AS place, d.payment_id, d.amount_minor, d.currency, d.opened_at AS since,
               'case ' || d.reference || ': ' || d.reason AS why
        FROM disputes d WHERE d.state = 'open'""",
    Kind.OWED_LESS: f"""
        SELECT p.id AS place, p.id AS payment_id, p.total_minor AS amount_minor, p.currency, p.recorded_at AS since,
               p.reason AS why
        FROM payments p WHERE p.state = 'review' AND NOT {_HELD}""",
    Kind.PART_FAILED: f"""
        SELECT r.id AS place, r.payment_id, r.amount_minor, r.currency, r.ended_at AS since,
               r.reason || ': ' || (SELECT e.why FROM events e
                                    WHERE e.payment_id = r.payment_id AND e.what = 'reversal.failed'
                                    ORDER BY e.id DESC LIMIT 1) AS why
        FROM reversals r JOIN payments p ON p.id = r.payment_id
        WHERE r.purpose = 'refund' AND r.state = 'failed' AND r.ended_at > :refunds_since AND p.state = 'posted'
          AND r.id = (SELECT max(n.id) FROM reversals n WHERE n.payment_id = r.payment_id) AND {_NOT_PROPOSED}""",
    Kind.MAIL: """
        SELECT m.id AS place, m.payment_id, coalesce(p.charged_minor, p.total_minor) AS amount_minor, p.currency,
               m.ended_at AS since, m.address || ': ' || m.said AS why
        FROM mails m JOIN payments p ON p.id = m.payment_id
        WHERE m.state = 'failed' AND m.ended_at > :mails_since
          AND NOT EXISTS (SELECT 1 FROM mails n WHERE n.payment_id = m.payment_id AND n.id > m.id)""",
}


def _items(kind: Kind) -> TextClause:
    return text(f"""
        SELECT w.payment_id, p.customer_id, c.number AS customer, c.name AS customer_name, w.amount_minor, w.currency,
               w.since, w.why
        FROM (SELECT * FROM ({_FOUND[kind]}) AS f ORDER BY place LIMIT :most) AS w
        JOIN payments p ON p.id = w.payment_id JOIN customers c ON c.id = p.customer_id ORDER BY w.place""")


ITEMS: Final = {kind: _items(kind) for kind in Kind}
_EACH: Final = " UNION ALL ".join(f"(SELECT 1 FROM ({found}) AS {kind})" for kind, found in _FOUND.items())
COUNT: Final = text(f"SELECT count(*) FROM (SELECT 1 FROM ({_EACH}) AS each_one LIMIT :most) AS counted")


def known(now: datetime, most: int) -> dict[str, object]:
    """What the questions are asked with."""
    return {"asked": ASKED_ENOUGH, "mails_since": now - MAIL_AGE, "refunds_since": now - REFUND_AGE, "most": most}


def waiting(conn: Connection, now: datetime, most: int) -> tuple[Group, ...]:
    """All kinds of which something waits, with at most so many of each."""
    found = {
        kind: tuple(Item(**row._mapping) for row in conn.execute(question, known(now, most + 1)))
        for kind, question in ITEMS.items()
    }
    return tuple(Group(kind, items[:most], len(items) > most) for kind, items in found.items() if items)


def count(conn: Connection, now: datetime, most: int) -> int:
    """How much waits for a person; counted no further than `most`."""
    return int(conn.execute(COUNT, known(now, most)).scalar_one())
