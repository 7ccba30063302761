"""Webhooks in the books: endpoints, the deliveries that events become, and every try (D1, D2)."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, Row, text

from books import archive, feed
from books.history import tell
from rules.errors import MoveRefused, NotFound
from rules.events import BY_WHAT
from rules.webhooks import ENDPOINT_GIVE_UP, OLD_SECRET, RESTED, SAID_MAX, again_at, rests_until

LEASE: Final = timedelta(minutes=2)
"""How long who claimed a delivery may take: longer than all time-outs of a call."""
PURPOSE: Final = "webhook secret"
"""What the secrets are sealed for."""
GONE: Final = 410
PER_ENDPOINT: Final = 5
"""Deliveries of one endpoint that one claim takes: a slow endpoint leaves room for the others."""
STEP: Final = 5_000
"""Deliveries that one step of a replay looks at."""


@dataclass(frozen=True, slots=True)
class Sealed:
    """A secret as the vault sealed it."""

    key_id: str
    sealed: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where an app wants to be told; without its secret."""

    id: int
    url: str
    types: tuple[str, ...]
    customer: str | None
    contact: str
    state: str
    why: str
    failing_since: datetime | None
    rests_until: datetime | None
    replay_since: datetime | None
    created_at: datetime
    created_by: str


_ADD = text("""
    INSERT INTO webhook_endpoints (url, types, customer_id, contact, secret_sealed, secret_key_id, state, cursor,
                                   created_at, created_by)
    VALUES (:url, CAST(:types AS text[]), :customer_id, :contact, :sealed, :key_id, 'enabled', :cursor, :now, :by)
    RETURNING id""")


def add(
    conn: Connection,
    url: str,
    types: Sequence[str],
    customer_id: int | None,
    contact: str,
    secret: Sealed,
    now: datetime,
    by: str,
) -> int:
    """Register an endpoint: it is told of every event that commits from now on, and may be told of the last few."""
    values = {"url": url, "types": list(types), "customer_id": customer_id, "contact": contact, "now": now, "by": by}
    kept = {"sealed": secret.sealed, "key_id": secret.key_id, "cursor": feed.horizon(conn)}
    endpoint_id: int = conn.execute(_ADD, {**values, **kept}).scalar_one()
    tell(conn, "webhook.created", now, by, url, customer_id=customer_id)
    return endpoint_id


_ENDPOINTS: Final = """
    SELECT w.id, w.url, w.types, c.number AS customer, w.contact, w.state, w.why, w.failing_since, w.rests_until,
           w.replay_since, w.created_at, w.created_by
    FROM webhook_endpoints w LEFT JOIN customers c ON c.id = w.customer_id
    WHERE w.state <> 'deleted' AND (CAST(:only AS bigint) IS NULL OR w.customer_id = :only)"""
_LIST = text(f"{_ENDPOINTS} AND w.id > :after ORDER BY w.id LIMIT :most")
_ONE = text(f"{_ENDPOINTS} AND w.id = :id")


def endpoints(conn: Connection, only: int | None = None, after: int = 0, most: int = 1_000) -> list[Endpoint]:
    """The endpoints that were not deleted, of one customer where `only` names it."""
    return [_endpoint(row) for row in conn.execute(_LIST, {"only": only, "after": after, "most": most})]


def endpoint(conn: Connection, endpoint_id: int, only: int | None = None) -> Endpoint:
    """One endpoint. Raises NotFound."""
    row = conn.execute(_ONE, {"only": only, "id": endpoint_id}).one_or_none()
    if row is None:
        raise NotFound(f"There is no webhook endpoint {endpoint_id}.", "`defray webhooks list` shows all.")
    return _endpoint(row)


def _endpoint(row: Row[Any]) -> Endpoint:
    return Endpoint(**{**row._mapping, "types": tuple(row.types)})


_ROTATE = text("""
    UPDATE webhook_endpoints SET old_sealed = secret_sealed, old_key_id = secret_key_id, old_until = :until,
                                 secret_sealed = :sealed, secret_key_id = :key_id WHERE id = :id""")
# An endpoint is locked before its deliveries, everywhere.
_LOCK = text("""
    SELECT state, failing_since, failures, rests_until FROM webhook_endpoints WHERE id = :id FOR NO KEY UPDATE""")
_SET = text("""
    UPDATE webhook_endpoints SET state = :state, why = :why, failing_since = NULL, failures = 0, rests_until = NULL,
                                 told_at = NULL
    WHERE id = :id""")
_PAUSE = text("""
    UPDATE webhook_deliveries SET next_step = NULL, due_at = NULL, lease_token = NULL
    WHERE endpoint_id = :id AND state = 'due'""")
_RESUME = text("""
    UPDATE webhook_deliveries SET next_step = 'deliver', due_at = :now, began_at = :now, tries = 0
    WHERE endpoint_id = :id AND state = 'due'""")


def rotate(conn: Connection, endpoint_id: int, secret: Sealed, now: datetime, by: str) -> None:
    """Take a new secret; the one before signs beside it for a day. Raises NotFound."""
    endpoint(conn, endpoint_id)
    values = {"id": endpoint_id, "sealed": secret.sealed, "key_id": secret.key_id, "until": now + OLD_SECRET}
    conn.execute(_ROTATE, values)
    tell(conn, "webhook.secret_rotated", now, by, f"endpoint {endpoint_id}")


def enable(conn: Connection, endpoint_id: int, now: datetime, by: str) -> None:
    """Let a disabled endpoint be told again, of all that it missed first. Raises MoveRefused where it is enabled."""
    conn.execute(_LOCK, {"id": endpoint_id})
    if endpoint(conn, endpoint_id).state == "enabled":
        raise MoveRefused("The endpoint is enabled.", "Nothing is left to enable.")
    conn.execute(_SET, {"id": endpoint_id, "state": "enabled", "why": ""})
    conn.execute(_RESUME, {"id": endpoint_id, "now": now})
    tell(conn, "webhook.enabled", now, by, f"endpoint {endpoint_id}")


def delete(conn: Connection, endpoint_id: int, now: datetime, by: str) -> None:
    """Tell an endpoint nothing any more; what it was told stays on record."""
    conn.execute(_SET, {"id": endpoint_id, "state": "deleted", "why": f"by {by}"})
    conn.execute(_PAUSE, {"id": endpoint_id})
    tell(conn, "webhook.deleted", now, by, f"endpoint {endpoint_id}")


# ---- from events to deliveries --------------------------------------------------------------------------------------

_BEHIND = text("""
    SELECT id, types, customer_id, cursor FROM webhook_endpoints WHERE state = 'enabled' AND cursor < :safe
    ORDER BY cursor, id FOR NO KEY UPDATE SKIP LOCKED""")
FAN_OUT = text("""
    INSERT INTO webhook_deliveries (endpoint_id, event_id, payment_id, state, next_step, due_at, began_at)
    SELECT :id, id, payment_id, 'due', 'deliver', :now, :now FROM events
    WHERE id > :after AND id <= :upto AND what = ANY(CAST(:whats AS text[]))
    AND (CAST(:customer_id AS bigint) IS NULL OR customer_id = :customer_id) ORDER BY id
    ON CONFLICT (endpoint_id, event_id) DO NOTHING""")
_MOVE = text("UPDATE webhook_endpoints SET cursor = :upto WHERE id = :id")
_ANY = text("SELECT EXISTS (SELECT FROM webhook_endpoints WHERE state = 'enabled' AND cursor < :drawn)")


def any_behind(conn: Connection) -> bool:
    """Whether an endpoint has not been told of all that is complete."""
    return bool(conn.execute(_ANY, {"drawn": feed.drawn(conn)}).scalar_one())


def fan_out(conn: Connection, now: datetime) -> bool:
    """Make deliveries of the events behind each endpoint's cursor, and move the cursor in the same breath.

    Likewise a step of each replay. Says whether there was any to move: another step may follow.
    """
    behind = conn.execute(_BEHIND, {"safe": feed.horizon(conn)}).all()
    for row in behind:
        upto = feed.reach(conn, row.cursor)
        asked = {"id": row.id, "after": row.cursor, "upto": upto, "whats": feed.whats(row.types)}
        conn.execute(FAN_OUT, {**asked, "customer_id": row.customer_id, "now": now})
        conn.execute(_MOVE, {"id": row.id, "upto": upto})
    replaying = conn.execute(_REPLAYING).all()
    for row in replaying:
        asked = {"id": row.id, "after": row.replay_after, "upto": row.replay_upto, "since": row.replay_since}
        step = conn.execute(REPLAY_STEP, {**asked, "now": now, "most": STEP}).one()
        if step.seen < STEP:
            conn.execute(_REPLAYED, {"id": row.id})
        else:
            conn.execute(_REPLAY_ON, {"id": row.id, "after": step.last})
    return bool(behind or replaying)


# ---- delivering -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Claimed:
    """A delivery that is ours until the lease ends."""

    id: int
    endpoint_id: int
    event_id: int
    lease_token: int
    url: str
    secrets: tuple[Sealed, ...]


# A later event of a payment waits for the earlier ones of the same endpoint. Each endpoint has its turn, so that one
# with much to be told leaves room for the others; one that was rested is tried by one delivery.
CLAIM = text(f"""
    WITH mine AS (
        UPDATE webhook_deliveries SET due_at = :until, tries = tries + 1, lease_token = :token
        WHERE id IN (
            SELECT due.id FROM webhook_endpoints w CROSS JOIN LATERAL (
                SELECT d.id, d.due_at FROM webhook_deliveries d
                WHERE d.endpoint_id = w.id AND d.next_step = 'deliver' AND d.due_at <= :now AND NOT EXISTS (
                    SELECT FROM webhook_deliveries e WHERE e.state = 'due' AND e.endpoint_id = d.endpoint_id
                    AND e.payment_id = d.payment_id AND e.event_id < d.event_id)
                ORDER BY d.due_at, d.id LIMIT CASE WHEN w.failures < {RESTED} THEN {PER_ENDPOINT} ELSE 1 END
                FOR NO KEY UPDATE SKIP LOCKED) AS due
            WHERE w.state = 'enabled' AND (w.rests_until IS NULL OR w.rests_until <= :now)
            AND w.id <> ALL(CAST(:busy AS bigint[]))
            ORDER BY due.due_at LIMIT :most)
        RETURNING id, endpoint_id, event_id, lease_token)
    SELECT mine.*, w.url, w.secret_sealed, w.secret_key_id,
           CASE WHEN w.old_until > :now THEN w.old_sealed END AS old_sealed, w.old_key_id
    FROM mine JOIN webhook_endpoints w ON w.id = mine.endpoint_id ORDER BY mine.event_id""")


def claim(conn: Connection, most: int, busy: Sequence[int], now: datetime) -> list[Claimed]:
    """At most so many due deliveries, of no `busy` endpoint, each counted as tried."""
    asked = {"most": most, "busy": list(busy), "now": now, "until": now + LEASE, "token": secrets.randbits(62)}
    return [_claimed(row) for row in conn.execute(CLAIM, asked)]


def _claimed(row: Row[Any]) -> Claimed:
    signs = [Sealed(row.secret_key_id, bytes(row.secret_sealed))]
    if row.old_sealed is not None:
        signs.append(Sealed(row.old_key_id, bytes(row.old_sealed)))
    return Claimed(row.id, row.endpoint_id, row.event_id, row.lease_token, row.url, tuple(signs))


@dataclass(frozen=True, slots=True)
class Tried:
    """What a call came to: the status of the answer (None: there was none), how long it took, words."""

    status: int | None
    milliseconds: int
    said: str

    @property
    def taken(self) -> bool:
        """Whether the endpoint took it."""
        return self.status is not None and 200 <= self.status < 300


_ATTEMPT = text("""
    INSERT INTO webhook_attempts (delivery_id, at, status, milliseconds, said)
    VALUES (:id, :now, :status, :milliseconds, :said)""")
_LOOK = text("""
    SELECT tries, began_at FROM webhook_deliveries
    WHERE id = :id AND lease_token = :token AND state = 'due' FOR NO KEY UPDATE""")
_END = text("""
    UPDATE webhook_deliveries SET state = :state, next_step = NULL, due_at = NULL, lease_token = NULL, ended_at = :now
    WHERE id = :id""")
_AGAIN = text(
    "UPDATE webhook_deliveries SET due_at = :due_at, lease_token = NULL WHERE id = :id AND next_step IS NOT NULL"
)
_WORKS = text("""
    UPDATE webhook_endpoints SET failing_since = NULL, failures = 0, rests_until = NULL
    WHERE id = :id AND failing_since IS NOT NULL""")
_FAILS = text("""
    UPDATE webhook_endpoints SET failing_since = coalesce(failing_since, :now), failures = :failures,
                                 rests_until = :rests_until
    WHERE id = :id""")


def finish(conn: Connection, one: Claimed, tried: Tried, chance: timedelta, now: datetime, by: str) -> str:
    """Record a try; what the delivery is now: delivered, due, failed, disabled, or passed on to somebody else."""
    words = tried.said.replace("\0", "�")[:SAID_MAX]
    attempt = {"id": one.id, "now": now, "status": tried.status, "milliseconds": tried.milliseconds, "said": words}
    conn.execute(_ATTEMPT, attempt)
    at = conn.execute(_LOCK, {"id": one.endpoint_id}).one()
    row = conn.execute(_LOOK, {"id": one.id, "token": one.lease_token}).one_or_none()
    if row is None:
        return "passed on"
    if tried.taken:
        conn.execute(_END, {"id": one.id, "state": "delivered", "now": now})
        conn.execute(_WORKS, {"id": one.endpoint_id})
        return "delivered"
    rests = at.rests_until is not None and at.rests_until > now  # what was under way when the rest began counts no more
    failures = at.failures if rests else at.failures + 1
    rest = at.rests_until if rests else rests_until(failures, now)
    conn.execute(_FAILS, {"id": one.endpoint_id, "now": now, "failures": failures, "rests_until": rest})
    failing = at.failing_since is not None and now - at.failing_since >= ENDPOINT_GIVE_UP
    if at.state == "enabled" and (tried.status == GONE or failing):
        why = "it answered 410 Gone" if tried.status == GONE else f"it took nothing for three days: {words}"
        _disable(conn, one, why, now, by)
        return "disabled"
    due_at = again_at(row.tries, row.began_at, now, chance)
    if due_at is None:
        conn.execute(_END, {"id": one.id, "state": "failed", "now": now})
        return "failed"
    conn.execute(_AGAIN, {"id": one.id, "due_at": due_at})
    return "due"


def _disable(conn: Connection, one: Claimed, why: str, now: datetime, by: str) -> None:
    conn.execute(_SET, {"id": one.endpoint_id, "state": "disabled", "why": why})
    conn.execute(_PAUSE, {"id": one.endpoint_id})
    tell(conn, "alarm.webhook_disabled", now, by, f"endpoint {one.endpoint_id}, {one.url}: {why}")


_UNTOLD = text("""
    UPDATE webhook_endpoints SET told_at = :now WHERE state = 'disabled' AND contact <> '' AND told_at IS NULL
    RETURNING id, url, contact, why""")


def untold(conn: Connection, now: datetime) -> list[Row[Any]]:
    """Endpoints that were disabled and whose contact is told now: once at the most."""
    return list(conn.execute(_UNTOLD, {"now": now}))


# ---- looking and replaying ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Delivery:
    """One event for one endpoint, with its latest try."""

    id: int
    event_id: int
    type: str
    state: str
    tries: int
    due_at: datetime | None
    ended_at: datetime | None
    status: int | None
    milliseconds: int | None
    said: str | None


DELIVERIES = text("""
    SELECT d.id, d.event_id, e.what, d.state, d.tries, d.due_at, d.ended_at, a.status, a.milliseconds, a.said
    FROM (SELECT * FROM webhook_deliveries WHERE endpoint_id = :id AND event_id < :before
          ORDER BY endpoint_id DESC, event_id DESC LIMIT :most) AS d
    JOIN events e ON e.id = d.event_id
    LEFT JOIN LATERAL (SELECT * FROM webhook_attempts WHERE delivery_id = d.id ORDER BY id DESC LIMIT 1) AS a ON true
    ORDER BY d.event_id DESC""")


def deliveries(conn: Connection, endpoint_id: int, most: int = 50, before: int = 2**63 - 1) -> list[Delivery]:
    """An endpoint's deliveries, the latest event first."""
    found = conn.execute(DELIVERIES, {"id": endpoint_id, "most": most, "before": before})
    return [_delivery(row) for row in found]


def _delivery(row: Row[Any]) -> Delivery:
    values = dict(row._mapping)
    return Delivery(type=BY_WHAT[values.pop("what")].name, **values)


_ATTEMPTS = text("SELECT at, status, milliseconds, said FROM webhook_attempts WHERE delivery_id = :id ORDER BY id")


def attempts(conn: Connection, delivery_id: int) -> list[Row[Any]]:
    """Every try of a delivery."""
    return list(conn.execute(_ATTEMPTS, {"id": delivery_id}))


_AFRESH: Final = """
    UPDATE webhook_deliveries d SET state = 'due', next_step = 'deliver', due_at = :now, tries = 0, began_at = :now,
                                    ended_at = NULL, lease_token = NULL"""
_REPLAY_ONE = text(f"{_AFRESH} WHERE d.endpoint_id = :id AND d.event_id = :event_id")
_REPLAY_SINCE = text("""
    UPDATE webhook_endpoints SET replay_since = least(replay_since, :since), replay_after = 0, replay_upto = cursor
    WHERE id = :id""")
_REPLAYING = text("""
    SELECT id, replay_since, replay_after, replay_upto FROM webhook_endpoints
    WHERE state = 'enabled' AND replay_since IS NOT NULL ORDER BY id FOR NO KEY UPDATE SKIP LOCKED""")
REPLAY_STEP = text(f"""
    WITH step AS (
        SELECT id, event_id FROM webhook_deliveries WHERE endpoint_id = :id AND event_id > :after AND event_id <= :upto
        ORDER BY event_id LIMIT :most
    ), again AS (
        {_AFRESH} FROM step s JOIN events e ON e.id = s.event_id WHERE d.id = s.id AND e.at >= :since
    )
    SELECT count(*) AS seen, max(event_id) AS last FROM step""")
_REPLAYED = text("""
    UPDATE webhook_endpoints SET replay_since = NULL, replay_after = NULL, replay_upto = NULL WHERE id = :id""")
_REPLAY_ON = text("UPDATE webhook_endpoints SET replay_after = :after WHERE id = :id")


def replay_one(conn: Connection, endpoint_id: int, event_id: int, now: datetime, by: str) -> None:
    """Deliver one event again.

    Raises NotFound where it was never told, Archived where it is kept no longer, MoveRefused where the endpoint is
    disabled.
    """
    _lock_enabled(conn, endpoint_id)
    archive.check_event(conn, event_id)
    if not conn.execute(_REPLAY_ONE, {"id": endpoint_id, "event_id": event_id, "now": now}).rowcount:
        raise NotFound("The endpoint was told of no such event.", "Its deliveries are listed.")
    tell(conn, "webhook.replayed", now, by, f"endpoint {endpoint_id}: event {event_id}")


def replay_since(conn: Connection, endpoint_id: int, since: datetime, now: datetime, by: str) -> None:
    """Deliver again what happened since a time and was told by now: the task does it step by step (`fan_out`).

    Raises MoveRefused where the endpoint is disabled, Archived where not all of that is kept.
    """
    _lock_enabled(conn, endpoint_id)
    archive.check_since(conn, since)
    conn.execute(_REPLAY_SINCE, {"id": endpoint_id, "since": since})
    tell(conn, "webhook.replayed", now, by, f"endpoint {endpoint_id}: all since {since.isoformat()}")


def _lock_enabled(conn: Connection, endpoint_id: int) -> None:
    conn.execute(_LOCK, {"id": endpoint_id})
    if endpoint(conn, endpoint_id).state != "enabled":
        raise MoveRefused("The endpoint is disabled.", "Enable it first.")


# LIMIT makes it one look in the index for each endpoint: EXISTS may be planned as a count of all that is due.
DUE = text("""
    SELECT EXISTS (
        SELECT FROM webhook_endpoints w CROSS JOIN LATERAL (
            SELECT 1 FROM webhook_deliveries d
            WHERE d.endpoint_id = w.id AND d.next_step = 'deliver' AND d.due_at <= :now LIMIT 1) AS due
        WHERE w.state = 'enabled' AND (w.rests_until IS NULL OR w.rests_until <= :now))
    OR EXISTS (SELECT FROM webhook_endpoints WHERE replay_since IS NOT NULL AND state = 'enabled')
    OR EXISTS (SELECT FROM webhook_endpoints WHERE state = 'disabled' AND contact <> '' AND told_at IS NULL)""")
_LISTENING = text("SELECT EXISTS (SELECT FROM webhook_endpoints WHERE state = 'enabled')")


def due(conn: Connection, now: datetime) -> bool:
    """Whether there is anything for a worker to do."""
    return any_behind(conn) or bool(conn.execute(DUE, {"now": now}).scalar_one())


def listening(conn: Connection) -> bool:
    """Whether any app wants to be told."""
    return bool(conn.execute(_LISTENING).scalar_one())
