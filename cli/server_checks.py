"""What is well, wrong or to be thought over in how PostgreSQL and the broker are set up: facts in, findings out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from models.server import Facts

POSTGRESQL_MIN: Final = 140_000
SWEPT_WITHIN: Final = timedelta(seconds=30)
"""The sweeper runs every five seconds."""

_FREE_CONNECTIONS: Final = 10
_XID_AGE_MAX: Final = 1_000_000_000
_FULL: Final = 0.8
_REDIS_MIN: Final = (6, 2)
_SPACE_MIN: Final = 2 * 2**30
_QUEUES: Final = {
    "interactive": "somebody is waiting",
    "bulk": "batches",
    "scheduled": "retries, inquiries, refunds",
    "outbound": "webhooks and mail",
}


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at; `advice`: it works, and could be better."""

    what: str
    well: bool
    found: str
    remedy: str = ""
    unreachable: bool = False
    advice: bool = False


def _advice(what: str, found: str, remedy: str) -> Check:
    return Check(what, True, found, remedy, advice=True)


def of_database(facts: Facts) -> Iterator[Check]:
    """How the server keeps what it is given, and whether there is room."""
    what = "postgresql"
    if facts.version < POSTGRESQL_MIN:
        yield Check(what, False, f"version {facts.version_words}", "Defray needs PostgreSQL 14 or newer: upgrade it.")
    lost = [name for name in ("fsync", "full_page_writes") if not getattr(facts, name)]
    if facts.synchronous_commit == "off":
        lost.append("synchronous_commit")
    for name in lost:
        yield Check(
            what,
            False,
            f"{name} is off: a crash can lose what was committed, such as that a card is being charged (E1)",
            f"ALTER SYSTEM SET {name} = on; SELECT pg_reload_conf(); it may stand at the database or the role, too.",
        )
    if facts.read_only:
        yield Check(what, False, "it only reads: a standby?", "Let DEFRAY_DATABASE_URL name the primary server.")
    if facts.superuser:
        yield Check(
            what,
            False,
            "Defray's role is a superuser: nothing holds it back from changing the journal (B1)",
            "Give DEFRAY_DATABASE_URL a role of its own that owns the database and is no superuser.",
        )
    if facts.encoding != "UTF8":
        yield Check(what, False, f"the encoding is {facts.encoding}", "Move the data to a database in UTF8.")
    if not facts.autovacuum:
        yield Check(what, False, "autovacuum is off: tables grow without end", "ALTER SYSTEM SET autovacuum = on;")
    if facts.xid_age > _XID_AGE_MAX:
        found = f"its oldest transaction is {facts.xid_age:,} transactions old: at two billion it stops"
        yield Check(what, False, found, "Run VACUUM (FREEZE) as a superuser, and look why autovacuum does not.")
    if facts.max_connections - facts.connections < _FREE_CONNECTIONS:
        yield Check(
            what,
            False,
            f"{facts.connections} of {facts.max_connections} connections are taken",
            "Raise max_connections, or start fewer processes: each takes up to four (docs/scaling.md).",
        )
    if not facts.data_checksums:
        remedy = "Stop it and run `pg_checksums --enable`, or make the next cluster with --data-checksums."
        yield _advice(what, "data checksums are off: a bad disk is noticed late", remedy)
    if not facts.archives or facts.wal_level == "minimal":
        yield _advice(
            what,
            "the write-ahead log is not archived: a restore loses what came after the last backup",
            "Archive it, or let a replica follow, where a day's payments matter (docs/restore.md).",
        )
    yield Check(
        what, True, f"{facts.version_words}, {facts.connections} of {facts.max_connections} connections are taken"
    )


def of_broker(info: Mapping[str, Any]) -> Iterator[Check]:
    """What INFO says: whether it drops, forgets, or has no room for wake-up calls."""
    what = "broker"
    policy = info["maxmemory_policy"]
    if policy != "noeviction":
        found = f"maxmemory-policy is {policy}: full, it would drop messages and keys of security codes"
        yield Check(what, False, found, "Set it to noeviction.")
    version = str(info["redis_version"])
    if tuple(map(int, version.split(".")[:2])) < _REDIS_MIN:
        yield Check(what, False, f"version {version}", "Defray needs Redis 6.2 or newer, or Valkey: upgrade it.")
    if info.get("role", "master") != "master":
        yield Check(what, False, "it only reads: a replica", "Let DEFRAY_REDIS_URL name the primary server.")
    limit, used = int(info.get("maxmemory", 0)), int(info["used_memory"])
    if limit and used > _FULL * limit:
        found = f"its memory is nearly full: {used / 2**20:,.0f} of {limit / 2**20:,.0f} MiB"
        yield Check(what, False, found, "Start workers, who empty the queues; else raise maxmemory.")
    elif not limit:
        yield _advice(
            what,
            "maxmemory is not set: where nothing limits it, the machine's memory does",
            "Set maxmemory; 256mb is plenty, for messages are small and at most some hundred wait.",
        )
    if int(info.get("aof_enabled", 0)):
        yield _advice(
            what,
            "appendonly is on: the keys of security codes reach its disk, where they must not outlast a day (C2)",
            "Set appendonly no and save '': nothing in it is needed after a restart (D3).",
        )
    yield Check(what, True, f"answers: {version}")


def of_workers(workers: Mapping[str, frozenset[str]], since_sweep: timedelta | None) -> Iterator[Check]:
    """Whether each queue has somebody who takes its calls, and beat ticks."""
    for queue, carries in _QUEUES.items():
        takers = sum(queue in queues for queues in workers.values())
        found = f"{takers} take{'s' * (takers == 1)} its calls ({carries})"
        remedy = "" if takers else f"Start one: celery -A worker.app worker --queues {queue}"
        yield Check(f"queue {queue}", bool(takers), found if takers else f"no worker answers ({carries})", remedy)
    if since_sweep is not None and since_sweep <= SWEPT_WITHIN:
        yield Check("beat", True, f"what is overdue was looked for {since_sweep.total_seconds():.0f} s ago")
    else:
        ago = "not within a week" if since_sweep is None else f"{since_sweep.total_seconds():,.0f} s ago"
        yield Check(
            "beat",
            False,
            f"what is overdue was looked for {ago}: lost messages, retries and inquiries wait",
            "Start beat (celery -A worker.app beat) and a worker of the queue scheduled.",
        )


def of_disk(folder: str, free: int, size: int) -> Check:
    """Whether the embedded servers have room to write."""
    found = f"{free / 2**30:,.1f} of {size / 2**30:,.1f} GiB are free below {folder}"
    if free < _SPACE_MIN:
        return Check(
            "disk", False, found, "Make room: a database that cannot write stops everything (docs/retention.md)."
        )
    return Check("disk", True, found)
