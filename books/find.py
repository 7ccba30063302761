"""Find a customer by whatever a person at the telephone says: one box for all of it, a bounded answer, by index.

How a word begins counts first (customer number, name, e-mail, invoice, check), then the last four digits of a card,
then any part of a name or of a telephone number. Case and accents make no difference in names.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Row, TextClause, text

MOST: Final = 20
"""Customers that are shown at once; who types on sees others."""

ASKED_MAX: Final = 100
"""Characters of what was typed that are looked at."""

_LAST_FOUR_LOOKED_AT: Final = 200  # payments of the latest cards with these digits, whoever's they are
_PARTS_MAX: Final = 5  # words that are looked at; more narrow nothing down
_PART_MIN: Final = 3  # an index of trigrams finds no shorter part
_COUNTRY_CODE: Final = 9  # of a longer number only the last digits, so that a country's code makes no difference
_PHONE: Final = re.compile(r"[0-9()+./ -]+")
_LAST: Final = "\U0010ffff"


@dataclass(frozen=True, slots=True)
class Found:
    """A customer, and what was found: "" for one of its own names and numbers, else such as "invoice 0001"."""

    customer_id: int
    number: str
    name: str
    email: str | None
    phone: str | None
    because: str


# A range and no LIKE: its plan is the same whether the pattern is known when it is planned or not.
_BEGINS: Final = """
    (SELECT 1 AS place, id AS customer_id, '' AS because FROM customers
     WHERE search_text(number) >= search_text(:asked) AND search_text(number) < search_text(:asked) || :last
     ORDER BY search_text(number) LIMIT :most)
    UNION ALL
    (SELECT 2, customer_id, 'invoice ' || number FROM invoices
     WHERE number >= :asked AND number < :asked || :last ORDER BY number LIMIT :most)
    UNION ALL
    (SELECT 3, customer_id, CASE method WHEN 'check' THEN 'check ' ELSE 'money order ' END || number FROM payments
     WHERE number IS NOT NULL AND number >= :asked AND number < :asked || :last ORDER BY number LIMIT :most)
    UNION ALL
    (SELECT 4, id, '' FROM customers
     WHERE search_text(name) >= search_text(:asked) AND search_text(name) < search_text(:asked) || :last
     ORDER BY search_text(name), id LIMIT :most)
    UNION ALL
    (SELECT 5, id, email FROM customers
     WHERE search_text(email) >= search_text(:asked) AND search_text(email) < search_text(:asked) || :last
     ORDER BY search_text(email) LIMIT :most)"""
_LAST_FOUR: Final = """
    UNION ALL
    (SELECT 6, customer_id, 'card ending in ' || :asked FROM (
        SELECT customer_id FROM payments WHERE card_last_four = :asked ORDER BY id DESC LIMIT :looked_at) AS latest
     GROUP BY customer_id LIMIT :most)"""
_SHOWN: Final = """
    SELECT c.id AS customer_id, c.number, c.name, c.email, c.phone, f.because
    FROM (SELECT DISTINCT ON (customer_id) * FROM ({found}) AS f ORDER BY customer_id, place) AS f
    JOIN customers c ON c.id = f.customer_id ORDER BY f.place, search_text(c.name), c.id LIMIT :most"""
_BY_BEGINNING = text(_SHOWN.format(found=_BEGINS))
_BY_BEGINNING_OR_CARD = text(_SHOWN.format(found=_BEGINS + _LAST_FOUR))


def _by_parts(count: int) -> TextClause:
    # Each part a condition of its own: an index answers AND, but not LIKE ALL.
    parts = " AND ".join(f"customer_words(name, phone) LIKE search_text(:part{place})" for place in range(count))
    return text(f"""
        SELECT c.id AS customer_id, c.number, c.name, c.email, c.phone, '' AS because
        FROM (SELECT * FROM customers WHERE {parts} LIMIT :most) AS c ORDER BY search_text(c.name), c.id""")


_BY_PARTS: Final = {count: _by_parts(count) for count in range(1, _PARTS_MAX + 1)}


def customers(conn: Connection, asked: str) -> list[Found]:
    """At most MOST customers, the likeliest first; none for an empty question."""
    asked = " ".join(asked.replace("\0", "").split())[:ASKED_MAX]
    if not asked:
        return []
    by_card = re.fullmatch(r"[0-9]{4}", asked) is not None
    known = {"asked": asked, "last": _LAST, "most": MOST}
    if by_card:
        rows = conn.execute(_BY_BEGINNING_OR_CARD, {**known, "looked_at": _LAST_FOUR_LOOKED_AT})
    else:
        rows = conn.execute(_BY_BEGINNING, known)
    found = [_found(row) for row in rows]
    parts = sorted(_parts(asked), key=len, reverse=True)[:_PARTS_MAX]
    if len(found) < MOST and any(len(part) >= _PART_MIN for part in parts):
        seen = {one.customer_id for one in found}
        patterns = {f"part{place}": f"%{_literal(part)}%" for place, part in enumerate(parts)}
        more = conn.execute(_BY_PARTS[len(parts)], {**patterns, "most": MOST})
        found += [_found(row) for row in more if row.customer_id not in seen]
    return found[:MOST]


def _parts(asked: str) -> list[str]:
    """What a name or a telephone number must contain, in any order."""
    if _PHONE.fullmatch(asked):
        return [re.sub(r"[^0-9]", "", asked)[-_COUNTRY_CODE:]]
    return asked.split()


def _literal(part: str) -> str:
    return re.sub(r"([\\%_])", r"\\\1", part)


def _found(row: Row[Any]) -> Found:
    return Found(**row._mapping)
