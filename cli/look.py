"""`defray status`, `explain` and `audit`: look, and change nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import click

from cli.output import ID, REFUSED, tell, with_json
from rules.breaking import Rest
from rules.errors import Fault, RequestRefused


@click.command()
@click.argument("payment", type=ID, required=False)
@click.option("--batch", type=ID, metavar="N", help="Where a batch stands, what did not go well first.")
@click.option(
    "--rows",
    type=click.IntRange(0, 10_000),
    default=20,
    show_default=True,
    metavar="N",
    help="How many payments of a batch to list.",
)
@with_json
def status(payment: int | None, batch: int | None, rows: int) -> None:
    """Say where a payment, a batch or (with neither) everything stands."""
    from books import views
    from cli import words
    from cli.reach import office

    if payment is not None and batch is not None:
        raise RequestRefused([Fault("batch", "", "given beside a payment", "Ask about one of the two")])
    with office() as at, at.reading() as (conn, now):
        zone = at.settings.business_time_zone
        if payment is not None:
            one = views.payment(conn, payment)
            tell(one, words.payment_lines(one, zone))
        elif batch is not None:
            many = views.batch(conn, batch, rows)
            tell({**_fields(many), "ended": many.ended}, words.batch_lines(many, zone))
        else:
            everything, rested = views.overall(conn, now), dict(at.rested())
            lines = [*words.overall_lines(everything, zone), *_rested(rested)]
            tell({**_fields(everything), "rested_gateways": rested}, lines)


def _rested(rested: Mapping[str, Rest]) -> Iterator[str]:
    """Which gateways are not called at present, and why."""
    if rested:
        yield from ("", "Gateways that are rested; their payments wait or go elsewhere (docs/routing.md):")
        yield from (f"  {rest.words(gateway)}: {rest.until()}" for gateway, rest in sorted(rested.items()))


def _fields(value: object) -> dict[str, object]:
    from cli.output import plain

    fields: dict[str, object] = plain(value)
    return fields


@click.command()
@click.argument("payment", type=ID)
@with_json
def explain(payment: int) -> None:
    """Tell a payment's whole story: who asked, every attempt and what it proved, what it paid, void and refund."""
    from books import views
    from cli.reach import office
    from papers.story import story_lines

    with office() as at, at.reading() as (conn, _):
        story = views.story(conn, payment)
        tell(story, story_lines(story, at.settings.business_time_zone))


@click.command()
@with_json
def audit() -> None:
    """Prove the books from the tables alone; exit 1 where something does not hold."""
    from books import archive
    from books.audit import INVARIANTS
    from books.audit import audit as prove
    from cli import words
    from cli.reach import office

    with office() as at, at.reading() as (conn, _):
        findings, archives = prove(conn), archive.manifests(conn)
    data = {"passed": not findings, "invariants": len(INVARIANTS), "findings": findings, "archives": archives}
    tell(data, [*words.audit_lines(findings, len(INVARIANTS)), *words.archive_lines(archives)])
    if findings:
        click.get_current_context().exit(REFUSED)


VERBS = (status, explain, audit)
