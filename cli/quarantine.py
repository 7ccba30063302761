"""`defray quarantine`: why nothing is sent after a restore, and the word of a person that ends it (E7)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click

from cli.output import ID, REFUSED, counted, tell, with_json, with_name, with_reason
from rules.errors import MoveRefused

if TYPE_CHECKING:
    from collections.abc import Iterable

    from books.epoch import Quarantine

_TO_DO: Final = (
    "What to do (docs/restore.md tells it step by step):",
    "  1. Get each gateway's report from the time of the backup until now.",
    "  2. defray reconcile GATEWAY FILE --apply --adopt",
    "  3. defray adopt REPORT LINE ...                      for each charge that is still missing here",
    "  4. defray audit",
    "  5. defray quarantine release --reason '...'",
)


@click.group(invoke_without_command=True)
@click.pass_context
@with_json
def quarantine(context: click.Context) -> None:
    """Say whether a restored database is quarantined: since when, why, and what to do. Exit 1 where it is."""
    if context.invoked_subcommand is not None:
        return
    from books import epoch
    from cli.reach import office

    with office() as at, at.reading() as (conn, _):
        found = epoch.current(conn)
    tell({"quarantined": found is not None, "since": found and found.since, "why": found and found.why}, _words(found))
    if found is not None:
        context.exit(REFUSED)


def _words(found: Quarantine | None) -> Iterable[str]:
    if found is None:
        yield "There is no quarantine: cards are charged as usual."
        return
    yield f"Quarantined since {found.since:%Y-%m-%d %H:%M} UTC: {found.why}."
    yield "Nothing is charged, voided or refunded; outcomes are looked up, and payments without a card go on."
    yield ""
    yield from _TO_DO


@quarantine.command()
@with_reason
@click.option("--anyway", is_flag=True, help="Although a report was not read, or charges are missing here.")
@click.option("--yes", is_flag=True, help="The answer to the question.")
@with_name
@with_json
def release(reason: str, anyway: bool, yes: bool, by: str) -> None:
    """Charge, void and refund again: the books were brought up to date with every gateway's report."""
    from books import adopt, epoch
    from cli.reach import office

    with office() as at:
        with at.reading() as (conn, _):
            found = epoch.current(conn)
            left = adopt.what_is_open(conn, at.settings.gateways, found.since) if found else []
            due = adopt.due(conn)
        if found is None:
            raise MoveRefused("There is no quarantine.", "Cards are charged as usual.")
        if left and not anyway:
            raise MoveRefused(
                f"Cards may be charged a second time: {'; '.join(left)}.", "See docs/restore.md, or say --anyway."
            )
        question = (
            "Do the gateways' reports reach from the backup until now, and were they brought into the books?"
            f" {counted(due, 'payment')} will be charged when due."
        )
        if not yes and not click.confirm(question, err=True):
            raise MoveRefused("The quarantine goes on.", "docs/restore.md tells how to end it.")
        with at.transaction() as (conn, now):
            ended = epoch.release(conn, at.witness(), reason, now, by)
    tell({"released": True, "since": ended.since, "why": ended.why}, "Released: what is due is charged from now on.")


@click.command()
@click.argument("report", type=ID)
@click.argument("line", type=ID)
@click.option("--payment", type=ID, metavar="PAYMENT", help="It is this payment's, which waits here to be charged.")
@click.option("--refund-of", type=ID, metavar="PAYMENT", help="The line is a refund: of this payment.")
@click.option("--customer", metavar="NUMBER", help="Its payment is unknown here: make it one of this customer.")
@click.option("--invoice", "invoices", multiple=True, metavar="NUMBER", help="With --customer: for which, in order.")
@click.option("--caller", default="adopted", metavar="NAME", help="With --customer: who had asked for the payment.")
@click.option("--key", default="", metavar="KEY", help="With --customer: the idempotency key of that request.")
@click.option(
    "--last-four", default="", metavar="DIGITS", help="With --customer: of the card, as the gateway shows it."
)
@click.option("--given-back", is_flag=True, help="It was returned at the gateway itself, is another's, or a refund.")
@with_reason
@with_name
@with_json
def adopt(
    report: int,
    line: int,
    payment: int | None,
    refund_of: int | None,
    customer: str | None,
    invoices: tuple[str, ...],
    caller: str,
    key: str,
    last_four: str,
    given_back: bool,
    reason: str,
    by: str,
) -> None:
    """Take a charge of a gateway's REPORT that is missing here into the books; it is not made again.

    REPORT and LINE are the numbers that `defray reconcile` shows. Say one of --payment, --refund-of, --customer,
    --given-back.
    """
    from books import adopt as books
    from cli.reach import office

    if sum((payment is not None, refund_of is not None, customer is not None, given_back)) != 1:
        raise click.UsageError("Say one of --payment, --refund-of, --customer, --given-back.")
    with office() as at:
        terms, vault = at.terms(), at.vault()
        with at.transaction() as (conn, now):
            if payment is not None:
                tally = books.as_payment(conn, report, line, payment, terms, now, by, reason)
            elif customer is not None:
                told = books.NewPayment(customer, invoices, caller, key, last_four)
                tally = books.as_new_payment(conn, report, line, told, terms, now, by, reason)
            elif refund_of is not None:
                books.as_refund(conn, report, line, refund_of, terms, now, by, reason)
                tally = None
            else:
                books.given_back(conn, report, line, now, by, reason)
                tally = None
            if tally is not None:
                vault.drop_security_codes(conn, tally.answered_cards)
                vault.drop_keys(conn, tally.spent_cards)
    aside = "set aside" if refund_of is None else "recorded"
    done = "posted" if tally is not None and tally.posted else "for a person" if tally is not None else aside
    tell({"report": report, "line": line, "done": done}, f"Line {line} of report {report}: {done}.")


VERBS = (quarantine, adopt)
