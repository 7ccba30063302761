"""How guessing is slowed down without locking people out.

A strict limit by name alone would let anybody lock anybody out. So failures count strictly by name *and source*; a
source is an address, or a browser from which this name logged in before (it shows a sealed cookie, `web.devices`).
Over all addresses together a name has a larger limit, which stops a guess from many addresses; it does not hold for
the browsers that are known, so whoever runs into it is a stranger, or somebody at a browser that is new to them.
(OWASP: device cookies.) What is asked of somebody whose password was right already, a one-time code or the password
again, counts by name alone and strictly: no stranger comes that far.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection, text

COUNTED: Final = timedelta(minutes=15)
"""Failures count for so long."""
A_NAME_FROM_ONE_SOURCE: Final = 10
FROM_ONE_SOURCE: Final = 30
A_NAME_FROM_STRANGERS: Final = 100
"""So many failed log-ins within that time; then none is tried any more, right password or not."""
OF_SOMEBODY_INSIDE: Final = 5
"""So many wrong codes, or passwords that were asked for again."""

_DEVICE: Final = "device "
_INSIDE: Final = "inside"

_ALONE = text("SELECT pg_advisory_xact_lock(hashtext(:name))")  # two at once would not see each other's row
_ATTEMPT = text("INSERT INTO login_attempts (at, name, address) VALUES (:now, :name, :source) RETURNING id")
_TOO_MANY = text(f"""
    SELECT (SELECT count(*) FROM login_attempts WHERE name = :name AND at > :since AND address = :source) > :together
        OR (SELECT count(*) FROM login_attempts WHERE address = :source AND at > :since) > :from_source
        OR :a_stranger AND (SELECT count(*) FROM login_attempts WHERE name = :name AND at > :since
                            AND address <> '{_INSIDE}' AND NOT starts_with(address, '{_DEVICE}')) > :from_strangers""")
_FAILED_INSIDE = text("""
    SELECT count(*) > :most FROM login_attempts WHERE name = :name AND at > :since AND address = :source""")
_FORGET_ONE = text("DELETE FROM login_attempts WHERE id = :id")
_FORGET_OLD = text("DELETE FROM login_attempts WHERE at <= :since")


def attempt(conn: Connection, name: str, address: str, device: str, now: datetime) -> int | None:
    """Write down a log-in that begins; to be committed before the password is looked at, so that none is uncounted.

    `device` is the mark of a browser that is known for this name, "" for a stranger. None where there were too many:
    then the password is not looked at, and this attempt does not count.
    """
    source = f"{_DEVICE}{device}" if device else address
    limits = {
        "together": A_NAME_FROM_ONE_SOURCE,
        "from_source": FROM_ONE_SOURCE,
        "from_strangers": A_NAME_FROM_STRANGERS,
        "a_stranger": not device,
    }
    attempt_id, known = _begun(conn, name, source, now)
    return _unless(conn, attempt_id, bool(conn.execute(_TOO_MANY, {**known, **limits}).scalar_one()))


def attempt_inside(conn: Connection, name: str, now: datetime) -> int | None:
    """As `attempt`, of a one-time code or a password that is asked for again, once the password was right."""
    attempt_id, known = _begun(conn, name, _INSIDE, now)
    too_many = conn.execute(_FAILED_INSIDE, {**known, "most": OF_SOMEBODY_INSIDE}).scalar_one()
    return _unless(conn, attempt_id, bool(too_many))


def succeeded(conn: Connection, attempt_id: int) -> None:
    """What went well is no failure."""
    conn.execute(_FORGET_ONE, {"id": attempt_id})


def _begun(conn: Connection, name: str, source: str, now: datetime) -> tuple[int, dict[str, object]]:
    since = now - COUNTED
    conn.execute(_ALONE, {"name": name})
    conn.execute(_FORGET_OLD, {"since": since})
    attempt_id: int = conn.execute(_ATTEMPT, {"now": now, "name": name, "source": source}).scalar_one()
    return attempt_id, {"name": name, "source": source, "since": since}


def _unless(conn: Connection, attempt_id: int, too_many: bool) -> int | None:
    if too_many:
        succeeded(conn, attempt_id)
    return None if too_many else attempt_id
