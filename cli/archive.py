"""`defray archive`: move old events, evidence and webhook deliveries into files, cut off anywhere and gone on with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from cli.output import counted, note, table, tell, with_json, with_name
from rules.errors import DefrayError, Fault, RequestRefused

if TYPE_CHECKING:
    from books.archive import Archive, Bounds, File
    from cli.reach import Office


class Days(click.ParamType[timedelta]):
    """A span such as 400d."""

    name = "days"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        """The span, or a word on what is expected."""
        text = str(value)
        number = text.removesuffix("d")
        if not (text.endswith("d") and number.isascii() and number.isdecimal() and len(number) < 6):
            self.fail(f"{value!r} is no number of days such as 400d.", param, ctx)
        return timedelta(days=int(number))


@dataclass(frozen=True, slots=True)
class Moved:
    """What one run did."""

    older_than: datetime
    events: int = 0
    evidence: int = 0
    webhook_deliveries: int = 0
    manifest: str | None = None
    finished: tuple[str, ...] = ()  # archives that an earlier run was cut off in
    held_back_by: str = ""


@click.command()
@click.option("--older-than", type=Days(), metavar="400d", help="Leave what is younger; 30d at the least.")
@click.option("--to", "folder", type=click.Path(file_okay=False, path_type=Path), help="Where to write it.")
@click.option("--dry-run", is_flag=True, help="Count what would go, and change nothing.")
@click.option("--list", "listed", is_flag=True, help="List the archives that were made, and change nothing.")
@with_name
@with_json
def archive(older_than: timedelta | None, folder: Path | None, dry_run: bool, listed: bool, by: str) -> None:
    """Move old events, evidence and webhook deliveries of payments that are final out of the database, into files.

    Idempotency keys, gateway transactions, payments and the journal stay for good. Stopped anywhere, the same command
    goes on. docs/retention.md tells what is in the files, and what no longer works for what is in them.
    """
    from cli.reach import office

    with office() as at:
        if listed:
            _list(at)
            return
        moved = _run(at, *_checked(older_than, folder, dry_run), dry_run, by)
    tell(asdict(moved), list(_words(moved, dry_run)))


def _checked(older_than: timedelta | None, folder: Path | None, dry_run: bool) -> tuple[timedelta, Path]:
    from books.archive import OLDER_THAN_MIN

    faults = []
    if older_than is None or older_than < OLDER_THAN_MIN:
        value = "" if older_than is None else f"{older_than.days}d"
        faults.append(Fault("--older-than", value, "must be given, 30d at the least", "Say 400d, for example"))
    if folder is None and not dry_run:
        faults.append(Fault("--to", "", "must be given", "Name a folder that is backed up, and not the database's"))
    if faults:
        raise RequestRefused(faults)
    return older_than or OLDER_THAN_MIN, (folder or Path()).resolve()


def _run(at: Office, older_than: timedelta, folder: Path, dry_run: bool, by: str) -> Moved:
    from books import archive, feed
    from cli import archive_files

    with alone(at):
        finished = () if dry_run else tuple(_go_on(at, by))
        with at.engine.begin() as conn:
            feed.settle(conn, patiently=True)
        with at.transaction() as (conn, now):
            bounds, limit = archive.bounds(conn), now - older_than
            begun = None if dry_run else archive.begin(conn, str(folder), limit, now, by)
        if begun is None:
            counts = _count(at, bounds, limit)
            held = bounds.held_back_by
            return Moved(limit, counts["events"], counts["evidence"], counts["webhook_deliveries"], held_back_by=held)
        try:
            written, sha256 = _write(at, begun, bounds)
        except OSError as reason:  # what was written is thrown away by the next run
            hint = "Nothing was deleted. Make room, and archive again."
            raise DefrayError(f"The archive cannot be written: {reason}.", hint) from None
        if sha256 is None:
            with at.transaction() as (conn, now):
                archive.give_up(conn, begun, now)
            return Moved(limit, finished=finished, held_back_by=bounds.held_back_by)
        with at.transaction() as (conn, now):
            archive.durable(conn, begun, sha256, written, now, by)
        _delete(at, begun, written)
    events, evidence, told = (sum(one.rows for one in written if one.of_table == name) for name in _TABLES)
    manifest = str(folder / begun.name / archive_files.MANIFEST)
    return Moved(limit, events, evidence, told, manifest, finished, bounds.held_back_by)


_TABLES: Final = ("events", "evidence", "webhook_deliveries")


@contextmanager
def alone(at: Office) -> Iterator[None]:
    """Hold the lock of the connection until the block ends; nothing else is done with it."""
    from books import archive

    with at.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as conn, archive.alone(conn):
        yield


def _go_on(at: Office, by: str) -> Iterator[str]:
    """End what an earlier run was cut off in: what it wrote counts once its manifest was durable, else not at all."""
    from books import archive
    from cli import archive_files

    with at.transaction() as (conn, _):
        found = [(one, archive.files(conn, one)) for one in archive.unfinished(conn)]
    for one, written in found:
        if one.state == "writing":
            archive_files.discard(Path(one.folder), one.name)
            with at.transaction() as (conn, now):
                archive.give_up(conn, one, now)
            continue
        note(f"Going on with {one.name}.")
        archive_files.check(Path(one.folder) / one.name, one.manifest_sha256, written)
        _delete(at, one, written)
        yield one.name


def _count(at: Office, bounds: Bounds, limit: datetime) -> dict[str, int]:
    from books import archive

    counts = dict.fromkeys(_TABLES, 0)
    for name in ("events", "evidence"):
        after: int | None = 0
        while after is not None:
            with at.transaction() as (conn, _):
                step = archive.chunk(conn, name, after, getattr(bounds, name), limit)
                counts[name] += len(step.ids)
                if name == "events":
                    counts["webhook_deliveries"] += len(archive.deliveries(conn, step.ids).ids)
            after = step.after
    return counts


def _write(at: Office, begun: Archive, bounds: Bounds) -> tuple[list[File], str | None]:
    """Every file, then the manifest; no digest where there was nothing to write."""
    from books import archive
    from cli import archive_files

    partial = archive_files.start(Path(begun.folder), begun.name)
    writers = {name: archive_files.Writer(partial, name) for name in _TABLES}
    for name in ("events", "evidence"):
        after: int | None = 0
        while after is not None:
            with at.transaction() as (conn, _):
                step = archive.chunk(conn, name, after, getattr(bounds, name), begun.older_than)
                told = archive.deliveries(conn, step.ids) if name == "events" else None
            writers[name].write(step)
            if told is not None:
                writers["webhook_deliveries"].write(told)
            after = step.after
    for writer in writers.values():
        writer.flush()
    written = [one for writer in writers.values() for one in writer.files]
    if not written:
        archive_files.discard(Path(begun.folder), begun.name)
        return [], None
    facts = {
        "format": "defray archive 1",
        "name": begun.name,
        "older_than": begun.older_than.isoformat(),
        "began_at": begun.began_at.isoformat(),
        "began_by": begun.began_by,
    }
    return written, archive_files.finish(partial, facts, written)


def _delete(at: Office, begun: Archive, written: Sequence[File]) -> None:
    """What stands in its files, a chunk a transaction; what is gone already is passed over."""
    from books import archive

    for file in written:
        if file.of_table == "webhook_deliveries":  # they go with their events
            continue
        ids = [one for first, last in file.ids for one in range(first, last + 1)]
        for place in range(0, len(ids), archive.CHUNK):
            with at.transaction() as (conn, _):
                archive.delete(conn, file.of_table, ids[place : place + archive.CHUNK], begun.older_than)
    with at.transaction() as (conn, now):
        archive.done(conn, begun, now)


def _words(moved: Moved, dry_run: bool) -> Iterator[str]:
    for name in moved.finished:
        yield f"{name}, which was cut off, is finished."
    told = [counted(moved.events, "event"), counted(moved.webhook_deliveries, "webhook delivery").replace("ys", "ies")]
    counts = f"{told[0]}, {moved.evidence:,} of evidence, {told[1]}, from before {moved.older_than:%Y-%m-%d}"
    if dry_run:
        yield f"Would go: {counts}."
    elif moved.manifest is None:
        yield f"Nothing is to be archived from before {moved.older_than:%Y-%m-%d}."
    else:
        yield f"Archived: {counts}. See {moved.manifest}"
    if moved.held_back_by:
        yield f"What came later stays: {moved.held_back_by}. Enable it or delete it."


def _list(at: Office) -> None:
    from books import archive

    with at.reading() as (conn, _):
        found = archive.every(conn)
    rows = [(one.name, one.state, f"{one.older_than:%Y-%m-%d}", one.began_by, one.folder) for one in found]
    tell(found, table(("archive", "state", "before", "by", "folder"), rows) if rows else "There is no archive.")


VERBS = (archive,)
