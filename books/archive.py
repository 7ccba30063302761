"""Old events, evidence and webhook deliveries, on their way out of the tables (docs/retention.md).

Rows are read and deleted by their primary keys, a chunk a transaction. An archive is `writing` until its files and
their manifest are durable; from then on it is `deleting`, and only what stands in its files is deleted (a trigger
looks). What keeps a charge from being made twice stays for good: gateway transactions, idempotency keys, payments.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, Row, text

from books import feed
from books.history import tell
from rules.errors import Archived, MoveRefused

CHUNK: Final = 2_000
"""Rows that one statement reads, and one transaction deletes."""
OLDER_THAN_MIN: Final = timedelta(days=30)
"""Younger rows are looked at by retries, gateways' windows, and apps that were away."""

_ALONE: Final = 7363123  # the number of the lock: no other may have it (vault.known, books.epoch)


@dataclass(frozen=True, slots=True)
class File:
    """A file of an archive: what is in it, and which payments it tells of."""

    name: str
    of_table: str
    rows: int
    sha256: str
    first_id: int
    last_id: int
    ids: tuple[tuple[int, int], ...]  # runs, both ends in it
    payments: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Archive:
    """An archive as the tables know it."""

    id: int
    name: str
    folder: str
    older_than: datetime
    state: str
    manifest_sha256: str | None
    began_at: datetime
    began_by: str
    ended_at: datetime | None


@dataclass(frozen=True, slots=True)
class Chunk:
    """Rows to be moved, as JSON, with their ids and payments; and where the next chunk begins (None: at the end)."""

    rows: tuple[str, ...]
    ids: tuple[int, ...]
    payments: tuple[int, ...]
    after: int | None


_LOCK = text("SELECT pg_try_advisory_lock(:number)")
_UNLOCK = text("SELECT pg_advisory_unlock(:number)")


@contextmanager
def alone(conn: Connection) -> Iterator[None]:
    """Be the only one who archives, until the block ends. Raises MoveRefused."""
    if not conn.execute(_LOCK, {"number": _ALONE}).scalar_one():
        raise MoveRefused("Another `defray archive` is under way.", "Wait until it has ended.")
    try:
        yield
    finally:
        conn.execute(_UNLOCK, {"number": _ALONE})


# ---- what may go ----------------------------------------------------------------------------------------------------

# Nothing more will come of such a payment by itself, nor is it waited for.
_FINAL: Final = """(p.state IN ('posted', 'declined', 'cancelled', 'voided')
    AND NOT EXISTS (SELECT FROM gateway_transactions t WHERE t.payment_id = p.id
                    AND (t.state IN ('started', 'unknown', 'review') OR t.next_step IS NOT NULL))
    AND NOT EXISTS (SELECT FROM reversals r WHERE r.payment_id = p.id AND r.state NOT IN ('voided', 'refunded', 'kept')
                    AND (r.purpose, r.state) <> ('refund', 'failed'))
    AND NOT EXISTS (SELECT FROM disputes d WHERE d.payment_id = p.id AND d.state = 'open')
    AND NOT EXISTS (SELECT FROM proposals o WHERE o.payment_id = p.id AND o.decision IS NULL)
    AND NOT EXISTS (SELECT FROM mails m WHERE m.payment_id = p.id AND m.next_step IS NOT NULL))"""
_TOLD: Final = """NOT EXISTS (
    SELECT FROM webhook_endpoints w JOIN webhook_deliveries d ON d.endpoint_id = w.id AND d.event_id = s.id
    WHERE w.state <> 'deleted' AND (d.state = 'due' OR d.ended_at >= :limit))"""
EVENTS = text(f"""
    WITH step AS (SELECT * FROM events WHERE id > :after AND id <= :upto ORDER BY id LIMIT :most)
    SELECT s.id, s.payment_id, row_to_json(s)::text AS row, s.at < :limit AS old,
           s.at < :limit AND (p.id IS NULL OR {_FINAL}) AND {_TOLD} AS fits
    FROM step s LEFT JOIN payments p ON p.id = s.payment_id ORDER BY s.id""")
EVIDENCE = text(f"""
    WITH step AS (SELECT * FROM evidence WHERE id > :after AND id <= :upto ORDER BY id LIMIT :most)
    SELECT s.id, p.id AS payment_id, row_to_json(s)::text AS row, s.at < :limit AS old,
           s.at < :limit AND (p.id IS NULL OR {_FINAL}) AS fits
    FROM step s LEFT JOIN gateway_transactions g ON g.id = s.gateway_transaction_id
    LEFT JOIN payments p ON p.id = g.payment_id ORDER BY s.id""")
DELIVERIES = text("""
    SELECT d.id, d.payment_id, json_build_object('delivery', row_to_json(d), 'attempts', coalesce((
               SELECT json_agg(row_to_json(a) ORDER BY a.id) FROM webhook_attempts a WHERE a.delivery_id = d.id),
               '[]'))::text AS row
    FROM webhook_endpoints w JOIN webhook_deliveries d ON d.endpoint_id = w.id
    WHERE d.event_id = ANY(CAST(:ids AS bigint[])) ORDER BY d.id""")
_STEPS: Final = {"events": EVENTS, "evidence": EVIDENCE}
_HELD_BACK = text("""
    SELECT id, url, state, cursor FROM webhook_endpoints WHERE state <> 'deleted' ORDER BY cursor, id LIMIT 1""")
_LAST = text("SELECT coalesce(max(id), 0) FROM evidence")


@dataclass(frozen=True, slots=True)
class Bounds:
    """Up to where each table is looked at, and the endpoint that holds the events back, in words (empty: none)."""

    events: int
    evidence: int
    held_back_by: str = ""


def bounds(conn: Connection) -> Bounds:
    """An event goes only when all endpoints were told of it, and when no transaction can write one before it."""
    upto, held = feed.horizon(conn), conn.execute(_HELD_BACK).one_or_none()
    evidence = int(conn.execute(_LAST).scalar_one())
    if held is None or held.cursor >= upto:
        return Bounds(upto, evidence)
    words = f"webhook endpoint {held.id} ({held.state}) was told up to event {held.cursor:,} only"
    return Bounds(held.cursor, evidence, words)


def chunk(conn: Connection, table: str, after: int, upto: int, limit: datetime, most: int = CHUNK) -> Chunk:
    """What may go of the next rows of `events` or `evidence`; ends where all of them are younger than the limit."""
    rows = conn.execute(_STEPS[table], {"after": after, "upto": upto, "limit": limit, "most": most}).all()
    fit = [row for row in rows if row.fits]
    goes_on = len(rows) == most and any(row.old for row in rows)
    return _chunk(fit, rows[-1].id if goes_on else None)


def deliveries(conn: Connection, event_ids: Sequence[int]) -> Chunk:
    """The deliveries of these events, with every try."""
    return _chunk(conn.execute(DELIVERIES, {"ids": list(event_ids)}).all(), None)


def _chunk(rows: Sequence[Row[Any]], after: int | None) -> Chunk:
    payments = tuple(sorted({row.payment_id for row in rows if row.payment_id is not None}))
    return Chunk(tuple(row.row for row in rows), tuple(row.id for row in rows), payments, after)


def runs(ids: Iterable[int]) -> tuple[tuple[int, int], ...]:
    """Ids as runs without gaps: 1, 2, 3, 7 as 1 to 3 and 7 to 7."""
    found: list[tuple[int, int]] = []
    for one in sorted(set(ids)):
        if found and found[-1][1] == one - 1:
            found[-1] = (found[-1][0], one)
        else:
            found.append((one, one))
    return tuple(found)


# ---- the archive ----------------------------------------------------------------------------------------------------

_FIELDS: Final = "id, name, folder, older_than, state, manifest_sha256, began_at, began_by, ended_at"
_BEGIN = text(f"""
    INSERT INTO archives (name, folder, older_than, state, began_at, began_by)
    VALUES (:name, :folder, :older_than, 'writing', :now, :by) RETURNING {_FIELDS}""")
_UNFINISHED = text(f"SELECT {_FIELDS} FROM archives WHERE state IN ('writing', 'deleting') ORDER BY id")
_ALL = text(f"SELECT {_FIELDS} FROM archives WHERE state <> 'given_up' ORDER BY id")
_END = text("UPDATE archives SET state = :state, ended_at = :now WHERE id = :id")
_DURABLE = text(
    "UPDATE archives SET state = 'deleting', manifest_sha256 = :sha256 WHERE id = :id AND state = 'writing'"
)
_FILE = text("""
    INSERT INTO archive_files (archive_id, name, of_table, rows_count, sha256, first_id, last_id, ids, payments)
    VALUES (:archive_id, :name, :of_table, :rows, :sha256, :first_id, :last_id, CAST(:ids AS int8multirange),
            CAST(:payments AS int8multirange))""")
_FILES = text("""
    SELECT name, of_table, rows_count AS rows, sha256, first_id, last_id,
           ARRAY(SELECT ARRAY[lower(r), upper(r) - 1] FROM unnest(ids) AS r) AS ids,
           ARRAY(SELECT ARRAY[lower(r), upper(r) - 1] FROM unnest(payments) AS r) AS payments
    FROM archive_files WHERE archive_id = :id ORDER BY id""")
_UPTO = text("SELECT last_id FROM archive_files WHERE of_table = 'events' ORDER BY last_id DESC LIMIT 1")
HOLDING = text("""
    SELECT DISTINCT a.id, a.folder || '/' || a.name || '/manifest.json' AS manifest
    FROM archive_files f JOIN archives a ON a.id = f.archive_id
    WHERE f.payments @> CAST(:payment_id AS bigint) ORDER BY a.id""")


def begin(conn: Connection, folder: str, older_than: datetime, now: datetime, by: str) -> Archive:
    """A new archive, of which nothing is written yet."""
    name = f"defray-{now:%Y%m%dT%H%M%S.%fZ}"
    row = conn.execute(_BEGIN, {"name": name, "folder": folder, "older_than": older_than, "now": now, "by": by}).one()
    return Archive(**row._mapping)


def unfinished(conn: Connection) -> list[Archive]:
    """Archives that were cut off: while writing, or while deleting what they hold."""
    return [Archive(**row._mapping) for row in conn.execute(_UNFINISHED)]


def every(conn: Connection) -> list[Archive]:
    """All archives that hold anything, or may."""
    return [Archive(**row._mapping) for row in conn.execute(_ALL)]


def manifests(conn: Connection) -> tuple[str, ...]:
    """Where the manifest of every archive was written, the oldest first."""
    return tuple(f"{one.folder}/{one.name}/manifest.json" for one in every(conn) if one.manifest_sha256)


def give_up(conn: Connection, archive: Archive, now: datetime) -> None:
    """End an archive for which nothing was deleted."""
    conn.execute(_END, {"id": archive.id, "state": "given_up", "now": now})


def durable(conn: Connection, archive: Archive, sha256: str, written: Sequence[File], now: datetime, by: str) -> None:
    """Its manifest is on the disk: from the commit on, what stands in its files may be deleted, and is.

    The event that tells of it keeps the last number of the events from falling, which a restore is known by (E7).
    """
    conn.execute(_DURABLE, {"id": archive.id, "sha256": sha256})
    for one in written:
        values = {"archive_id": archive.id, "name": one.name, "of_table": one.of_table, "rows": one.rows}
        ends = {"sha256": one.sha256, "first_id": one.first_id, "last_id": one.last_id}
        conn.execute(_FILE, {**values, **ends, "ids": _multirange(one.ids), "payments": _multirange(one.payments)})
    counts = {table: sum(one.rows for one in written if one.of_table == table) for table in _TABLES}
    tell(conn, "archive.written", now, by, f"{archive.folder}/{archive.name}", details=counts)


_TABLES: Final = ("events", "evidence", "webhook_deliveries")


def files(conn: Connection, archive: Archive) -> list[File]:
    """Its files; none before it is durable."""
    found = conn.execute(_FILES, {"id": archive.id})
    return [File(**{**row._mapping, "ids": _pairs(row.ids), "payments": _pairs(row.payments)}) for row in found]


_NEW_DIGEST = text("UPDATE archive_files SET sha256 = :sha256 WHERE archive_id = :id AND name = :name")
_NEW_MANIFEST = text("UPDATE archives SET manifest_sha256 = :sha256 WHERE id = :id")


def rewritten(conn: Connection, archive: Archive, digests: Mapping[str, str], manifest_sha256: str) -> None:
    """Files of it, and so its manifest, were written anew: the same rows, without what was erased."""
    for name, sha256 in digests.items():
        conn.execute(_NEW_DIGEST, {"id": archive.id, "name": name, "sha256": sha256})
    conn.execute(_NEW_MANIFEST, {"id": archive.id, "sha256": manifest_sha256})


def done(conn: Connection, archive: Archive, now: datetime) -> None:
    """All that it holds was deleted."""
    conn.execute(_END, {"id": archive.id, "state": "done", "now": now})


def archived_upto(conn: Connection) -> int:
    """The last event that was archived; 0 where none was."""
    return int(conn.execute(_UPTO).scalar_one_or_none() or 0)


_HAS_EVENT = text("""
    SELECT EXISTS (SELECT FROM archive_files WHERE of_table = 'events' AND last_id >= :id AND first_id <= :id
                   AND ids @> CAST(:id AS bigint))""")
_BEFORE = text("SELECT max(older_than) FROM archives WHERE state IN ('deleting', 'done')")


def check_cursor(conn: Connection, after: int) -> None:
    """Raise Archived where a reader of the feed would miss what was archived; 0 asks for the oldest that is kept."""
    upto = archived_upto(conn) if after else 0
    if after < upto:
        raise Archived(f"Events up to {upto} were archived, and this cursor is behind them.", f"Go on from {upto}.")


def check_event(conn: Connection, event_id: int) -> None:
    """Raise Archived where this event was archived."""
    if conn.execute(_HAS_EVENT, {"id": event_id}).scalar_one():
        raise Archived(f"Event {event_id} was archived.", "`defray archive --list` shows the archives.")


def check_since(conn: Connection, since: datetime) -> None:
    """Raise Archived where a part of what happened since was archived."""
    before: datetime | None = conn.execute(_BEFORE).scalar_one()
    if before is not None and since < before:
        at = before.isoformat().replace("+00:00", "Z")
        raise Archived(f"What happened before {at} was archived.", f"Begin at {at}.")


def holding(conn: Connection, payment_id: int) -> tuple[str, ...]:
    """The manifests of the archives that hold a part of a payment's history or evidence, the oldest first."""
    return tuple(row.manifest for row in conn.execute(HOLDING, {"payment_id": payment_id}))


def _multirange(pairs: Sequence[tuple[int, int]]) -> str:
    return "{" + ",".join(f"[{first},{last}]" for first, last in pairs) + "}"


def _pairs(ends: Sequence[Sequence[int]]) -> tuple[tuple[int, int], ...]:
    return tuple((first, last) for first, last in ends)


# ---- deleting -------------------------------------------------------------------------------------------------------

# An endpoint whose deliveries are told again meanwhile keeps them with tries that no file has, and their events.
_TO_DELETE = text("""
    SELECT d.id FROM webhook_endpoints w JOIN webhook_deliveries d ON d.endpoint_id = w.id
    WHERE d.event_id = ANY(CAST(:ids AS bigint[]))
      AND (w.state = 'deleted' OR (d.state <> 'due' AND (d.ended_at >= :limit) IS NOT TRUE))
    ORDER BY d.id FOR UPDATE OF d""")
_ATTEMPTS = text("DELETE FROM webhook_attempts WHERE delivery_id = ANY(CAST(:ids AS bigint[]))")
_DELIVERIES = text("DELETE FROM webhook_deliveries WHERE id = ANY(CAST(:ids AS bigint[]))")
DELETE_EVENTS = text("""
    DELETE FROM events e WHERE e.id = ANY(CAST(:ids AS bigint[])) AND NOT EXISTS (
        SELECT FROM webhook_endpoints w JOIN webhook_deliveries d ON d.endpoint_id = w.id AND d.event_id = e.id)""")
DELETE_EVIDENCE = text("DELETE FROM evidence WHERE id = ANY(CAST(:ids AS bigint[]))")


def delete(conn: Connection, table: str, ids: Sequence[int], limit: datetime) -> int:
    """Delete rows that stand in the files of an archive of that limit which is deleting; how many there still were."""
    if table == "evidence":
        return conn.execute(DELETE_EVIDENCE, {"ids": list(ids)}).rowcount
    found = list(conn.scalars(_TO_DELETE, {"ids": list(ids), "limit": limit}))
    conn.execute(_ATTEMPTS, {"ids": found})
    conn.execute(_DELIVERIES, {"ids": found})
    return conn.execute(DELETE_EVENTS, {"ids": list(ids)}).rowcount
