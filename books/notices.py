"""Notices from gateways: stored first, claimed, and turned into questions that are due now (D1).

No state is ever set from what a notice says: it brings the inquiry forward that would have come anyway, or tells a
person of what no inquiry of ours would ask. So a late, doubled or reordered one changes nothing (D4).
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, Literal

from sqlalchemy import Connection, Row, text

from books.history import tell
from rules.states import Reversal

PER_MINUTE: Final = 3_000
"""Notices that are taken of one gateway in a minute; it sends the others again later, and the schedule goes on."""
RELOOK: Final = timedelta(minutes=1)
"""A rejected one that comes again is looked at again, so often at the most: the secret may have been wrong."""
LEASE: Final = timedelta(minutes=5)
"""How long who claimed a notice may take."""
AGAIN: Final = tuple(timedelta(minutes=minutes) for minutes in (1, 5, 30, 120, 360))
"""What is waited after each try at which the gateway did not say whether the notice was its own."""
KEPT: Final = timedelta(days=90)
"""How long they are kept."""
FORGOTTEN_AT_ONCE: Final = 500
"""So many old ones are deleted in one go."""

_FINISHING: Final = int.from_bytes(b"notices")  # an advisory lock's number


def purpose(gateway: str) -> str:
    """What a notice's body is sealed for."""
    return f"notice:{gateway}"


Stored = Literal["new", "known", "too many"]
Asked = Literal["confirm", "watch"]
ASKED: Final[tuple[Asked, ...]] = ("confirm", "watch")
"""Steps of a reversal that are questions."""


@dataclass(frozen=True, slots=True)
class Arrived:
    """A notice as the web process took it: its body sealed, the body's keyed digest, its allow-listed headers."""

    gateway: str
    digest: str
    headers: Mapping[str, str] = field(repr=False)
    key_id: str
    sealed: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Claimed:
    """A notice that is ours to look at until the lease ends."""

    id: int
    gateway: str
    headers: Mapping[str, str] = field(repr=False)
    key_id: str
    sealed: bytes = field(repr=False)
    received_at: datetime
    tries: int
    lease_token: int


@dataclass(frozen=True, slots=True)
class Told:
    """A verified notice. `about`: charge, refund, dispute or other; `case` names a dispute; `failed`: of a refund."""

    event_id: str
    event: str
    about: str
    references: tuple[int, ...]
    transaction_ids: tuple[str, ...]
    case: str
    failed: bool


@dataclass(frozen=True, slots=True)
class NotProven:
    """The gateway did not sign it, or (`again`) did not say yet whether it did."""

    why: str
    again: bool = False


@dataclass(frozen=True, slots=True)
class Woken:
    """How many notices ended how, and which questions are due now because of them."""

    ended: Mapping[str, int]
    inquiries: int
    reversals: tuple[Asked, ...]


# ---- taking them

_STORE: Final = text("""
    INSERT INTO notices (gateway, digest, headers, key_id, sealed, received_at, state, next_step, due_at)
    SELECT :gateway, :digest, CAST(:headers AS jsonb), :key_id, :sealed, :now, 'waiting', 'verify', :now
    WHERE (SELECT count(*) FROM (SELECT 1 FROM notices WHERE received_at > :minute_ago AND gateway = :gateway
                                 LIMIT :most) AS late) < :most
    ON CONFLICT (gateway, digest) DO UPDATE SET
        headers = excluded.headers, key_id = excluded.key_id, sealed = excluded.sealed,
        received_at = excluded.received_at, state = 'waiting', next_step = 'verify', due_at = excluded.due_at,
        tries = 0, why = '', ended_at = NULL
    WHERE notices.state = 'rejected' AND notices.received_at < :relook
    RETURNING id""")
_KNOWN: Final = text("SELECT EXISTS (SELECT 1 FROM notices WHERE gateway = :gateway AND digest = :digest)")


def store(conn: Connection, arrived: Arrived, now: datetime) -> Stored:
    """Keep a notice, due for its look now; one that came before is known, and changes nothing."""
    values = {
        "gateway": arrived.gateway,
        "digest": arrived.digest,
        "headers": json.dumps(dict(arrived.headers)),
        "key_id": arrived.key_id,
        "sealed": arrived.sealed,
        "now": now,
        "minute_ago": now - timedelta(minutes=1),
        "relook": now - RELOOK,
        "most": PER_MINUTE,
    }
    if conn.execute(_STORE, values).scalar_one_or_none() is not None:
        return "new"
    return "known" if conn.execute(_KNOWN, values).scalar_one() else "too many"


# ---- looking at them

_CLAIM: Final = text("""
    UPDATE notices SET due_at = :until, lease_token = :token, tries = tries + 1
    WHERE id IN (SELECT id FROM notices WHERE next_step = 'verify' AND due_at <= :now
                 ORDER BY due_at, id LIMIT :most FOR NO KEY UPDATE SKIP LOCKED)
    RETURNING id, gateway, headers, key_id, sealed, received_at, tries, lease_token""")


def claim(conn: Connection, most: int, now: datetime) -> list[Claimed]:
    """At most so many due notices; nothing found is a normal outcome (D2)."""
    values = {"now": now, "until": now + LEASE, "token": secrets.randbits(62), "most": most}
    return sorted((Claimed(**row._mapping) for row in conn.execute(_CLAIM, values)), key=lambda one: one.id)


_MINE: Final = text("""
    SELECT n.id FROM notices n JOIN unnest(CAST(:ids AS bigint[]), CAST(:tokens AS bigint[])) AS v(id, token)
      ON v.id = n.id AND v.token = n.lease_token
    WHERE n.next_step = 'verify' FOR NO KEY UPDATE OF n""")
_SEEN: Final = text("""
    SELECT n.gateway, n.event_id FROM notices n
    JOIN unnest(CAST(:gateways AS text[]), CAST(:events AS text[])) AS v(gateway, event_id)
      ON v.gateway = n.gateway AND v.event_id = n.event_id
    WHERE n.event_id IS NOT NULL AND n.state <> 'repeated'""")
_TARGETS: Final = """
    SELECT t.id, t.operation, t.gateway, t.reference, t.transaction_id, t.payment_id, p.customer_id,
           coalesce(t.sale_id, t.id) AS sale_id, r.state AS reversal_state,
           EXISTS (SELECT 1 FROM gateway_transactions o
                   WHERE o.payment_id = t.payment_id AND o.operation <> 'sale'
                     AND o.state IN ('started', 'unknown', 'approved')) AS returned_by_us
    FROM gateway_transactions t JOIN payments p ON p.id = t.payment_id LEFT JOIN reversals r ON r.id = t.reversal_id"""
_BY_REFERENCE: Final = text(f"{_TARGETS} WHERE t.reference = ANY(CAST(:references AS bigint[]))")
# A void has its sale's id at some gateways: the sale stands first.
_BY_ID: Final = text(f"""
    {_TARGETS} WHERE t.transaction_id = ANY(CAST(:ids AS text[])) AND t.transaction_id <> '' ORDER BY t.id""")
_END: Final = text("""
    UPDATE notices n SET state = v.state, next_step = NULL, due_at = NULL, lease_token = NULL, sealed = NULL,
                         key_id = NULL, event_id = v.event_id, said = v.said, why = v.why,
                         gateway_transaction_id = v.transaction_id, ended_at = :now
    FROM jsonb_to_recordset(CAST(:ended AS jsonb))
         AS v(id bigint, state text, event_id text, said jsonb, why text, transaction_id bigint)
    WHERE n.id = v.id""")
_PUT_OFF: Final = text("UPDATE notices SET due_at = :due_at, lease_token = NULL, why = :why WHERE id = :id")


def finish(conn: Connection, looked: Sequence[tuple[Claimed, Told | NotProven]], now: datetime, by: str) -> Woken:
    """Record what came of each, bring the questions forward that follow, and tell people what is theirs to look at.

    One at a time, so that of two notices of one event the second sees the first.
    """
    if not looked:
        return Woken({}, 0, ())
    conn.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": _FINISHING})
    mine = _still_mine(conn, [claimed for claimed, _ in looked])
    looked = [one for one in looked if one[0].id in mine]
    seen = _events_seen(conn, looked)
    targets = _Targets(conn, [told for _, told in looked if isinstance(told, Told)])
    ends: list[dict[str, Any]] = []
    found: list[Row[Any]] = []
    for claimed, told in looked:
        if isinstance(told, NotProven):
            if end := _not_proven(conn, claimed, told, now, by):
                ends.append(end)
            continue
        target = targets.of(claimed.gateway, told)
        end = _end(claimed, told, target)
        ends.append(end)
        event = (claimed.gateway, told.event_id)
        if told.event_id and event in seen:
            end["state"] = "repeated"
            continue
        seen.add(event)
        _alarm(conn, claimed, told, target, now, by)
        if target is not None and told.about != "other":
            found.append(target)
    conn.execute(_END, {"ended": json.dumps(ends), "now": now})
    inquiries, steps = _bring_forward(conn, found, now)
    states = [end["state"] for end in ends]
    return Woken({state: states.count(state) for state in dict.fromkeys(states)}, inquiries, steps)


def _still_mine(conn: Connection, claimed: Sequence[Claimed]) -> set[int]:
    values = {"ids": [one.id for one in claimed], "tokens": [one.lease_token for one in claimed]}
    return set(conn.execute(_MINE, values).scalars())


def _events_seen(conn: Connection, looked: Sequence[tuple[Claimed, Told | NotProven]]) -> set[tuple[str, str]]:
    events = [(one.gateway, told.event_id) for one, told in looked if isinstance(told, Told) and told.event_id]
    values = {"gateways": [gateway for gateway, _ in events], "events": [event for _, event in events]}
    return {(row.gateway, row.event_id) for row in conn.execute(_SEEN, values)}


class _Targets:
    """The gateway transactions that a group of notices names: by our reference, else by the gateway's id."""

    def __init__(self, conn: Connection, told: Sequence[Told]) -> None:
        references = sorted({reference for one in told for reference in one.references})
        ids = sorted({name for one in told for name in one.transaction_ids})
        rows = conn.execute(_BY_REFERENCE, {"references": references})
        self._by_reference = {(row.gateway, row.reference): row for row in rows}
        self._by_id: dict[tuple[str, str], Row[Any]] = {}
        for row in conn.execute(_BY_ID, {"ids": ids}):
            self._by_id.setdefault((row.gateway, row.transaction_id), row)

    def of(self, gateway: str, told: Told) -> Row[Any] | None:
        by_reference = [self._by_reference.get((gateway, reference)) for reference in told.references]
        by_id = [self._by_id.get((gateway, name)) for name in told.transaction_ids]
        return next((row for row in (*by_reference, *by_id) if row is not None), None)


def _end(claimed: Claimed, told: Told, target: Row[Any] | None) -> dict[str, Any]:
    known = target is not None or told.about == "other"
    said = {
        "event": told.event,
        "about": told.about,
        "references": list(map(str, told.references)),
        "transaction_ids": list(told.transaction_ids),
        "case": told.case,
    }
    return {
        "id": claimed.id,
        "state": "verified" if known else "unmatched",
        "event_id": told.event_id or None,
        "said": said,
        "why": "" if known else "no transaction of ours",
        "transaction_id": target.id if target is not None else None,
    }


def _not_proven(conn: Connection, claimed: Claimed, told: NotProven, now: datetime, by: str) -> dict[str, Any] | None:
    if told.again and claimed.tries <= len(AGAIN):
        due_at = now + AGAIN[claimed.tries - 1]
        conn.execute(_PUT_OFF, {"id": claimed.id, "due_at": due_at, "why": told.why})
        return None
    _alarm_of_rejected(conn, claimed, told.why, now, by)
    return {"id": claimed.id, "state": "rejected", "said": None, "why": told.why}


# ---- what people are told

# By ix_events_alarms: alarms are few.
_ALARMED: Final = text("""
    SELECT EXISTS (SELECT 1 FROM events WHERE what LIKE 'alarm.%' AND what = 'alarm.notice_rejected'
                   AND details->>'gateway' = :gateway AND at > :since)""")
_REJECTED: Final = text("""
    SELECT count(*) FROM notices WHERE gateway = :gateway AND state = 'rejected' AND received_at > :since""")


def _alarm_of_rejected(conn: Connection, claimed: Claimed, why: str, now: datetime, by: str) -> None:
    """Once an hour and gateway, however many are forged."""
    asked = {"gateway": claimed.gateway, "since": now - timedelta(hours=1)}
    if conn.execute(_ALARMED, asked).scalar_one():
        return
    before = conn.execute(_REJECTED, asked).scalar_one()
    say = (
        f"a notice that says it is from {claimed.gateway} is not proven ({why}; {before} more in the last hour):"
        " somebody else sends them, or the secret is not the gateway's"
    )
    tell(conn, "alarm.notice_rejected", now, by, say, details={"gateway": claimed.gateway, "notice": claimed.id})


def _alarm(conn: Connection, claimed: Claimed, told: Told, target: Row[Any] | None, now: datetime, by: str) -> None:
    """Tell of what no question of ours would find out: a person looks at the gateway, and says what is true."""
    details = {"gateway": claimed.gateway, "notice": claimed.id}
    if told.about == "other":
        return
    if target is None:
        names = ", ".join(told.transaction_ids) or "a transaction without an id"
        why = f"{claimed.gateway} tells of {names} ({told.event}), which is none of ours: look there whose it is"
        tell(conn, "alarm.notice_unmatched", now, by, why, details=details)
        return
    if found := _for_a_person(claimed.gateway, told, target):
        what, why = found
        tell(
            conn,
            what,
            now,
            by,
            why,
            customer_id=target.customer_id,
            payment_id=target.payment_id,
            gateway_transaction_id=target.sale_id,
            details={**details, **({"case": told.case} if told.case else {})},
        )


def _for_a_person(gateway: str, told: Told, target: Row[Any]) -> tuple[str, str] | None:
    if told.about == "dispute":
        why = f"{gateway} tells of the dispute {told.case} ({told.event}): look there, and record it (`defray dispute`)"
        return "alarm.notice_dispute", why
    if told.about == "refund" and target.operation == "sale" and not target.returned_by_us:
        why = f"{gateway} tells of a refund ({told.event}) that was not asked for here: look there who made it"
        return "alarm.notice_refund", why
    if told.failed and target.reversal_state == Reversal.REFUNDED:
        why = f"{gateway} tells that a refund which was final has failed ({told.event}): look there"
        return "alarm.notice_refund_failed", why
    return None


# ---- what is asked sooner

# A call that is under way keeps its lease: its own answer is on its way, and a look-up would only see half of it.
_ASK_NOW: Final = text("""
    UPDATE gateway_transactions SET due_at = :now
    WHERE id IN (SELECT id FROM gateway_transactions
                 WHERE id = ANY(CAST(:sales AS bigint[])) AND next_step = 'inquire' AND lease_token IS NULL
                   AND due_at > :now
                 ORDER BY id FOR NO KEY UPDATE SKIP LOCKED)""")
_FOLLOW_NOW: Final = text("""
    UPDATE reversals SET due_at = :now
    WHERE id IN (SELECT r.id FROM reversals r
                 WHERE r.payment_id = ANY(CAST(:payments AS bigint[])) AND r.sale_id = ANY(CAST(:sales AS bigint[]))
                   AND r.next_step IN ('confirm', 'watch') AND r.due_at > :now
                   AND NOT EXISTS (SELECT 1 FROM gateway_transactions t
                                   WHERE t.reversal_id = r.id AND t.payment_id = r.payment_id AND t.state = 'started')
                 ORDER BY r.id FOR NO KEY UPDATE SKIP LOCKED)
    RETURNING next_step""")


def _bring_forward(conn: Connection, found: Sequence[Row[Any]], now: datetime) -> tuple[int, tuple[Asked, ...]]:
    """Make due at once what would be asked anyway; what has ended stays as it is."""
    if not found:
        return 0, ()
    sales = sorted({row.sale_id for row in found})
    payments = sorted({row.payment_id for row in found})
    inquiries = conn.execute(_ASK_NOW, {"sales": sales, "now": now}).rowcount
    due = set(conn.execute(_FOLLOW_NOW, {"sales": sales, "payments": payments, "now": now}).scalars())
    return inquiries, tuple(step for step in ASKED if step in due)


# ---- forgetting them

_FORGET: Final = text("""
    DELETE FROM notices WHERE id IN (SELECT id FROM notices WHERE received_at < :before AND next_step IS NULL
                                     ORDER BY received_at LIMIT :most FOR UPDATE SKIP LOCKED)""")


def forget(conn: Connection, now: datetime) -> int:
    """Delete some of those that are old enough; how many."""
    return conn.execute(_FORGET, {"before": now - KEPT, "most": FORGOTTEN_AT_ONCE}).rowcount
