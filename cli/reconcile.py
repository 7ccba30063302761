"""`defray reconcile`: a gateway's own report beside our books."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from cli.output import REFUSED, counted, note, table, tell, with_json, with_name

if TYPE_CHECKING:
    from books.reconcile import Difference, Reading, Source
    from cli.reach import Office
    from reports.file import ReportFile
    from reports.form import Form

GATEWAYS: Final = ("payflow", "plugnpay", "paypal", "stripe", "authorizenet")
"""The gateways whose reports can be read; `reports` itself is loaded when the verb runs."""

_AT_A_TIME: Final = 500
_WORDS: Final = {
    "proven": "Proven by the report",
    "differs": "Differs",
    "missing_here": "Missing here",
    "missing_there": "Missing there",
    "chargeback": "Chargeback",
    "matched": "Matched",
    "aside": "No charge or refund",
}


@click.command()
@click.argument("gateway", type=click.Choice(GATEWAYS))
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--from", "from_", metavar="TIME", help="What the report tells of begins here; else with its first line.")
@click.option("--to", metavar="TIME", help="And ends here; else with its last line.")
@click.option("--zone", metavar="NAME", help="Of times that name none, such as America/New_York. [default: the form's]")
@click.option(
    "--margin",
    type=click.IntRange(0, 10_000),
    default=60,
    show_default=True,
    metavar="MINUTES",
    help="So far from both ends nothing is called missing there: the clocks, and what was under way.",
)
@click.option(
    "--rows",
    type=click.IntRange(0, 100_000),
    default=100,
    show_default=True,
    metavar="N",
    help="How many differences to list; all are stored.",
)
@click.option("--apply", "apply_", is_flag=True, help="Record the outcomes that the report proves, after one question.")
@click.option("--adopt", is_flag=True, help="After a restore: record charges that fit one waiting payment as its own.")
@click.option("--yes", is_flag=True, help="With --apply and --adopt: the answer to the questions.")
@with_name
@with_json
def reconcile(
    gateway: str,
    file: Path,
    from_: str | None,
    to: str | None,
    zone: str | None,
    margin: int,
    rows: int,
    apply_: bool,
    adopt: bool,
    yes: bool,
    by: str,
) -> None:
    """Compare GATEWAY's own report in FILE with the books: what matched, is missing, differs, or proves an outcome.

    Nothing changes without --apply and a yes. Exit 1 where anything is left that a person must look at.
    """
    from books import archive
    from books import reconcile as books
    from cli.reach import office
    from cli.words import archive_lines
    from reports import FORMS
    from reports.file import look_over

    form = FORMS[gateway]
    times = _zone(zone or form.zone)
    report = look_over(file)
    with office() as at:
        here = at.settings.business_time_zone
        begins, ends = _moment(from_, here, "--from"), _moment(to, here, "--to")
        if begins and ends and begins >= ends:
            raise click.BadParameter("it is not before --to.", param_hint="--from")
        source = _source(form, report, begins, ends, margin)
        with at.transaction() as (conn, now):
            reading = books.read(conn, source, report.lines(form, times), now, by)
        proven = sum(each.lines for each in reading.sums if each.group == "proven")
        applied = _record(at, reading.report_id, by) if apply_ and _said_yes(proven, yes) else None
        adopted = _adopt(at, reading.report_id, yes, by) if adopt else None
        with at.reading() as (conn, _):
            listed = books.differences(conn, reading.report_id, rows)
            left = books.still_open(conn, reading.report_id)
            archives = archive.manifests(conn)
    tell(
        {
            "gateway": gateway,
            "file": file.name,
            "digest": report.digest,
            **_fields(reading),
            "differences": listed,
            "left": left,
            "recorded": applied,
            "adopted": adopted,
            "agrees": not left,
            "archives": archives,
        },
        [*_words(gateway, file.name, reading, listed, left, applied, here), *archive_lines(archives)],
    )
    if left:
        click.get_current_context().exit(REFUSED)


def _fields(value: object) -> dict[str, Any]:
    from cli.output import plain

    fields: dict[str, Any] = plain(value)
    return fields


def _source(form: Form, report: ReportFile, from_at: datetime | None, to_at: datetime | None, margin: int) -> Source:
    from books.reconcile import Source

    return Source(
        gateway=form.gateway,
        digest=report.digest,
        file_name=report.path.name,
        from_at=from_at,
        to_at=to_at,
        margin=timedelta(minutes=margin),
        grain=form.grain,
    )


def _zone(name: str) -> tzinfo:
    from zoneinfo import ZoneInfo

    try:
        return ZoneInfo(name)
    except (KeyError, ValueError):
        raise click.BadParameter(f"{name!r} is no time zone such as America/New_York.", param_hint="--zone") from None


def _moment(said: str | None, zone: tzinfo, option: str) -> datetime | None:
    """A day or a moment; without an offset it is the business's time."""
    if said is None:
        return None
    try:
        found = datetime.fromisoformat(said)
        return (found if found.tzinfo else found.replace(tzinfo=zone)).astimezone(UTC)
    except (ValueError, OverflowError):
        problem = f"{said!r} is no time such as 2026-03-02 or 2026-03-02T14:00."
        raise click.BadParameter(problem, param_hint=option) from None


def _said_yes(proven: int, yes: bool) -> bool:
    if not proven:
        return False
    return yes or click.confirm(f"Record {counted(proven, 'outcome')} that the report proves?", err=True)


def _record(at: Office, report_id: int, by: str) -> dict[str, int]:
    """Group by group, each a transaction of its own; then wake what follows."""
    from books import reconcile as books

    terms, vault = at.terms(), at.vault()
    recorded = {"lines": 0, "posted": 0, "review": 0, "reversals": 0, "refunds": 0}
    while True:
        with at.transaction() as (conn, now):
            done = books.apply_sales(conn, report_id, _AT_A_TIME, terms, now, by)
            vault.drop_security_codes(conn, done.tally.answered_cards)
            vault.drop_keys(conn, done.tally.spent_cards)
        if not done.lines:
            break
        recorded["lines"] += done.lines
        for name in ("posted", "review", "reversals"):
            recorded[name] += getattr(done.tally, name)
    while True:
        with at.transaction() as (conn, now):
            done = books.apply_refunds(conn, report_id, _AT_A_TIME, terms, now, by)
        if not done.lines:
            break
        recorded["lines"] += done.lines
        recorded["refunds"] += done.lines
    if recorded["reversals"]:
        at.wake.reversals("void")
    return recorded


def _adopt(at: Office, report_id: int, yes: bool, by: str) -> int:
    """Each pair in a transaction of its own; returns how many were recorded."""
    from books import adopt
    from rules.money import for_people

    with at.reading() as (conn, _):
        found = adopt.pairs(conn, report_id)
    for one in found:
        amount = for_people(one.amount_minor, one.currency)
        note(f"Line {one.line}, {amount}, fits payment {one.payment_id} and no other.")
    question = f"Record {counted(len(found), 'charge')} as made for these payments?"
    if not found or not (yes or click.confirm(question, err=True)):
        return 0
    terms, vault = at.terms(), at.vault()
    for one in found:
        with at.transaction() as (conn, now):
            why = f"line {one.line} of report {report_id} fits it alone"
            tally = adopt.as_payment(conn, report_id, one.line, one.payment_id, terms, now, by, why)
            vault.drop_security_codes(conn, tally.answered_cards)
            vault.drop_keys(conn, tally.spent_cards)
    return len(found)


def _words(
    gateway: str,
    file_name: str,
    reading: Reading,
    listed: list[Difference],
    left: dict[str, int],
    applied: dict[str, int] | None,
    zone: tzinfo,
) -> Iterable[str]:
    from rules.money import for_people

    span = f", {_when(reading.from_at, zone)} to {_when(reading.to_at, zone)}" if reading.from_at else ""
    yield f"Report {reading.report_id}: {gateway}, {file_name}{span}."
    if reading.read_before:
        yield f"Read before, first on {_when(reading.read_before, zone)}: compared again."
    sums = sorted(reading.sums, key=lambda each: list(_WORDS).index(each.group))
    rows = [
        (_WORDS[each.group], each.kind, f"{each.lines:,}", for_people(each.amount_minor, each.currency))
        for each in sums
    ]
    yield from table(("", "", "lines", "sum"), rows, right=(2, 3)) if rows else ["It has no lines."]
    if listed:
        yield ""
        yield from table(("what", "line", "payment", "there", "here", "why"), map(_difference, listed), right=(1, 2))
        more = sum(left.values()) - sum(1 for each in listed if each.became is None)
        if more > 0:
            yield f"and {more:,} more (--rows lists them)"
    if applied:
        yield ""
        yield (
            f"Recorded: {counted(applied['lines'], 'outcome')}; posted {applied['posted']:,}, for a person"
            f" {applied['review']:,}, charges to give back {applied['reversals']:,}, refunds {applied['refunds']:,}."
        )
    yield ""
    if not rows and reading.to_at is None:
        yield "Nothing was compared: it tells of no span. --from and --to say which it is of."
    else:
        yield _end(left)


def _end(left: dict[str, int]) -> str:
    if not left:
        return "Report and books agree."
    parts = [f"{_WORDS[group].lower()} {left[group]:,}" for group in _WORDS if left.get(group)]
    said = f"To look at: {', '.join(parts)}."
    return f"{said} --apply records what is proven." if left.get("proven") else said


def _when(at: datetime | None, zone: tzinfo) -> str:
    return f"{at.astimezone(zone):%Y-%m-%d %H:%M}" if at else ""


def _difference(one: Difference) -> tuple[object, ...]:
    from rules.money import for_people

    there = "" if one.line is None else f"{one.kind} {for_people(one.amount_minor, one.currency)}"
    here = "" if one.ours_minor is None else f"{one.ours_state} {for_people(one.ours_minor, one.currency)}"
    why = f"{one.why} (now {one.became})" if one.became else one.why
    return _WORDS[one.finding], one.line, one.payment_id, there, here, why


VERBS = (reconcile,)
