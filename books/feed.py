"""The events as apps see them, in the order of their ids, none skipped and none twice (docs/events.md).

Ids are drawn before their transactions commit, so that an earlier id may appear after a later one. Every public event
is written after its subject was changed: its transaction had its number (xid) when the id was drawn.
So once every transaction that began to write before now has ended, no id that was drawn before now can appear any more.
`settle` remembers such a pair, (the last id drawn, an xid drawn after it), until the oldest writing transaction of
this database is not older than that xid. The charge road pays nothing for it: no column, no index, no row.

It holds only while no session draws ids in advance: the sequence must cache 1, as it does (a test looks).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, text

from rules.events import BY_NAME, BY_WHAT, TYPES

SCAN: Final = 20_000
"""Events that one page looks at for what is asked: a filter that few pass costs more pages, never a long question."""

_DRAWN = text("SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM events_id_seq")
_WAITED_FOR = text("SELECT safe_id, next_id, next_xid FROM event_horizon FOR NO KEY UPDATE")
_HELD = text(f"{_WAITED_FOR.text} SKIP LOCKED")
_BEGIN = text("""
    INSERT INTO event_horizon (id, safe_id, next_id, next_xid) VALUES (1, 0, 0, 0) ON CONFLICT (id) DO NOTHING""")
_OWN = text("SELECT CAST(CAST(pg_current_xact_id() AS text) AS bigint)")
# A snapshot's xmin would do, but other databases of the server hold it back. An xid is listed from when it is drawn
# until others see what its transaction did. The lists have its lower 32 bits: the rest is told by our own.
_OLDEST = text("""
    SELECT coalesce(min(CAST(:own AS bigint)
                        - ((:own - CAST(CAST(xid AS text) AS bigint) + 2147483648) & 4294967295) + 2147483648), :own)
    FROM (SELECT backend_xid AS xid FROM pg_stat_activity WHERE backend_xid IS NOT NULL
          AND datid = (SELECT oid FROM pg_database WHERE datname = current_database())
          UNION ALL SELECT transaction FROM pg_prepared_xacts WHERE database = current_database()) AS writing""")
_KEEP = text("UPDATE event_horizon SET safe_id = :safe_id, next_id = :next_id, next_xid = :next_xid")
_SAFE = text("SELECT safe_id FROM event_horizon")
_WRITING = text("SELECT pg_current_xact_id_if_assigned() IS NOT NULL")


def settle(conn: Connection, patiently: bool = False) -> int:
    """Move the horizon as far as it goes, in a transaction of its own; the last id up to which events are complete.

    Where somebody else is at it, that one's result is waited for and gone beyond (`patiently`), or else left to come.

    Raises RuntimeError in a transaction that has written before: its xid would be older than the ids drawn since.
    """
    if conn.execute(_WRITING).scalar_one():
        raise RuntimeError("the horizon is to be moved in a transaction of its own")
    last, known = drawn(conn), horizon(conn)
    if known >= last:  # nothing is new, and nothing is written
        return known
    # Drawn after the last id was looked at, our xid is younger than those of all who drew an id up to there.
    own = conn.execute(_OWN).scalar_one()
    conn.execute(_BEGIN)
    held = conn.execute(_WAITED_FOR if patiently else _HELD).one_or_none()
    if held is None:  # somebody else is at it
        return horizon(conn)
    safe_id, next_id, next_xid = held
    oldest = conn.execute(_OLDEST, {"own": own}).scalar_one()
    if oldest >= own:  # nobody else writes
        safe_id, next_id, next_xid = max(safe_id, last), last, own
    elif oldest >= next_xid or next_xid > own:  # what was waited for has ended; or a restore set the xids back
        safe_id = max(safe_id, next_id) if next_xid <= own else safe_id
        next_id, next_xid = last, own
    conn.execute(_KEEP, {"safe_id": safe_id, "next_id": next_id, "next_xid": next_xid})
    return int(safe_id)


def drawn(conn: Connection) -> int:
    """The last id that any transaction drew, whatever became of it."""
    return int(conn.execute(_DRAWN).scalar_one())


def horizon(conn: Connection) -> int:
    """The last id up to which events are complete, as it was found last."""
    return int(conn.execute(_SAFE).scalar_one_or_none() or 0)


@dataclass(frozen=True, slots=True)
class Happened:
    """One public event with what never changes of its subject; no notes (R6), of a card brand and last four."""

    id: int
    at: datetime
    what: str
    to_state: str | None
    why: str
    customer: str | None
    payment_id: int | None
    batch_id: int | None
    invoice_id: int | None
    invoice_number: str | None
    idempotency_key: str | None
    method: str | None
    currency: str | None
    amount_minor: int | None
    card_brand: str | None
    card_last_four: str | None
    details: dict[str, Any] | None

    def told(self) -> dict[str, Any]:
        """As JSON: `id`, `type`, `created_at`, `data`."""
        kind = BY_WHAT[self.what]
        data: dict[str, Any] = {"customer": self.customer}
        if self.payment_id is not None:
            card = {"brand": self.card_brand, "last_four": self.card_last_four} if self.card_brand else None
            data["payment"] = {
                "id": self.payment_id,
                "idempotency_key": self.idempotency_key,
                "batch_id": self.batch_id,
                "method": self.method,
                "currency": self.currency,
                "amount_minor": self.amount_minor,
                "card": card,
            }
        if self.invoice_id is not None:
            data["invoice"] = {"id": self.invoice_id, "number": self.invoice_number}
        if self.payment_id is None and self.batch_id is not None:
            data["batch"] = {"id": self.batch_id}
        if self.details is not None and "schedule" in self.details:
            data["schedule"] = self.details["schedule"]
        if self.what == "card.expiring" and self.details is not None:
            data["card"] = self.details["card"]
        if self.to_state is not None:
            data["state"] = self.to_state
        if kind.reason:
            data["reason"] = self.why
        created_at = self.at.isoformat().replace("+00:00", "Z")
        return {"id": self.id, "type": kind.name, "created_at": created_at, "data": data}


_TOLD: Final = """
    SELECT e.id, e.at, e.what, e.to_state, e.why, c.number AS customer, e.payment_id,
           coalesce(e.batch_id, p.batch_id) AS batch_id, e.invoice_id, i.number AS invoice_number, p.idempotency_key,
           p.method, p.currency, p.total_minor AS amount_minor, p.card_brand, p.card_last_four,
           e.details
    FROM {chosen} AS e
    LEFT JOIN payments p ON p.id = e.payment_id
    LEFT JOIN invoices i ON i.id = e.invoice_id
    LEFT JOIN customers c ON c.id = coalesce(e.customer_id, p.customer_id)
    ORDER BY e.id"""
FEED = text(
    _TOLD.format(
        chosen="""(
        SELECT * FROM events WHERE id > :after AND id <= :upto AND what = ANY(CAST(:whats AS text[]))
        AND (CAST(:customer_id AS bigint) IS NULL OR customer_id = :customer_id) ORDER BY id LIMIT :most)"""
    )
)
_FIRST = text("SELECT id FROM events WHERE id > :after ORDER BY id LIMIT 1")
_THESE = text(_TOLD.format(chosen="(SELECT * FROM events WHERE id = ANY(CAST(:ids AS bigint[])))"))


@dataclass(frozen=True, slots=True)
class Page:
    """A part of the feed: its events, the cursor behind them, and whether there is more by now."""

    events: tuple[Happened, ...]
    after: int
    more: bool


def whats(types: Sequence[str]) -> list[str]:
    """The rows of history of some types; of all, where none is named."""
    return [one.what for one in (map(BY_NAME.__getitem__, types) if types else TYPES)]


def reach(conn: Connection, after: int) -> int:
    """The last id that one look from `after` reaches."""
    first = conn.execute(_FIRST, {"after": after}).scalar_one_or_none()
    safe = horizon(conn)
    return max(after, min(safe, safe if first is None else first - 1 + SCAN))


def read(conn: Connection, after: int, limit: int, types: Sequence[str], customer_id: int | None) -> Page:
    """Events after a cursor, up to the horizon; a page may be empty though there is more (SCAN)."""
    upto = reach(conn, after)
    asked = {"after": after, "upto": upto, "whats": whats(types), "customer_id": customer_id, "most": limit}
    found = [_happened(row) for row in conn.execute(FEED, asked)]
    end = found[-1].id if len(found) == limit else upto
    return Page(tuple(found), end, end < horizon(conn))


def these(conn: Connection, ids: Sequence[int]) -> dict[int, Happened]:
    """Events by their ids."""
    return {row.id: _happened(row) for row in conn.execute(_THESE, {"ids": list(ids)})}


def _happened(row: Row[Any]) -> Happened:
    return Happened(**row._mapping)
