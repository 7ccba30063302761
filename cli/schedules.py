"""`defray schedule`, `hold`, `unhold` and `move`: what the clock charges, and when it must not."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, Final

import click

from cli.output import ID, counted, note, table, tell, with_json, with_name, with_reason
from rules.errors import Fault, RequestRefused

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from books.kept_cards import KeptCard

_SCHEDULE = click.argument("schedule_id", metavar="SCHEDULE", type=ID)
_SHOWN: Final = 200


@click.group()
def schedule() -> None:
    """Charge a customer's kept card again and again.

    \b
    defray schedule create --customer C-1001 --amount 50.00 --month-day 31
    defray schedule list --customer C-1001
    """


@schedule.command()
@click.option("--customer", required=True, metavar="NUMBER", help="Whose kept card is charged.")
@click.option("--amount", metavar="DECIMAL", help="What each payment asks for, and no more than is owed.")
@click.option("--all-owed", is_flag=True, help="Instead: all that is owed on the day.")
@click.option("--as-credit", is_flag=True, help="The whole amount, also where less is owed.")
@click.option("--currency", default="USD", show_default=True, metavar="CODE", help="ISO 4217.")
@click.option(
    "--unit", type=click.Choice(["week", "month"]), default="month", show_default=True, help="What is counted."
)
@click.option("--every", type=int, metavar="N", help="Every so many of them. [default: 1]")
@click.option("--month-day", type=int, metavar="DAY", help="31: the last of each month. [default: the first date's]")
@click.option("--start", metavar="YYYY-MM-DD", help="From this day on. [default: today]")
@click.option("--until", metavar="YYYY-MM-DD", help="No date after this day.")
@click.option("--times", type=int, metavar="N", help="So many payments; else until it is stopped.")
@click.option("--card", "last_four", metavar="DIGITS", help="Last four digits, where more than one card is kept.")
@click.option("--notes", help="For the office only.")
@click.option("--key", metavar="KEY", help="The idempotency key; drawn and shown unless given.")
@with_name
@with_json
def create(customer: str, last_four: str | None, key: str | None, by: str, **said: object) -> None:
    """Charge a kept card by the clock: monthly on a day, at the end of each month, every few weeks."""
    from books import schedules
    from cli.reach import CALLER, office
    from papers import schedules as words
    from producer import keys
    from rules.schedules import check

    drawn = key or keys.drawn("schedule")
    with office() as at:
        with at.reading() as (conn, _):
            token = _kept(conn, customer, last_four).token
        asked = check({**said, "customer": customer, "card_token": token, "idempotency_key": drawn})
        if isinstance(asked, list):
            raise RequestRefused(asked)
        if not key:
            note(f"Idempotency key: {drawn}")
        with at.transaction() as (conn, now):
            made, new = schedules.make(conn, asked, CALLER, at.zone, now, by)
            standing = schedules.get(conn, made)
    tell({"new": new, "idempotency_key": drawn, "schedule": standing}, words.line(standing))


def _kept(conn: Connection, customer: str, last_four: str | None) -> KeptCard:
    from books import kept_cards, lists

    known = kept_cards.of_customer(conn, lists.customer(conn, customer).id)
    cards = [card for card in known if last_four in (None, card.last_four)]
    if not cards:
        raise RequestRefused([Fault("card", last_four or "", "no such card is kept", "Keep the card first")])
    if len(cards) > 1:
        endings = ", ".join(card.last_four for card in cards)
        raise RequestRefused([Fault("card", "", f"several are kept: {endings}", "Say which by --card")])
    return cards[0]


@schedule.command("list")
@click.option("--customer", metavar="NUMBER", help="Of one customer. [default: the first 200 of all]")
@with_json
def list_(customer: str | None) -> None:
    """Show schedules."""
    from books import lists, schedules
    from cli.reach import office
    from papers import schedules as words

    with office() as at, at.reading() as (conn, _):
        of = None if customer is None else lists.customer(conn, customer).id
        found = schedules.some(conn, lists.Page(0, _SHOWN), of)
    tell(found, [words.line(one) for one in found] or "None yet.")


@schedule.command()
@_SCHEDULE
@with_json
def show(schedule_id: int) -> None:
    """Show one schedule and what became of its dates."""
    from books import schedules
    from cli.reach import office
    from papers import schedules as words

    with office() as at, at.reading() as (conn, _):
        standing, runs = schedules.get(conn, schedule_id), schedules.runs(conn, schedule_id)
    rows = [(run.due_on.isoformat(), words.what_became(run)) for run in runs]
    tell({"schedule": standing, "runs": runs}, [words.line(standing), *(table(("date", "what"), rows) if rows else ())])


@schedule.command()
@_SCHEDULE
@with_reason
@with_name
@with_json
def pause(schedule_id: int, reason: str, by: str) -> None:
    """Run no date until it is resumed; a payment that was made goes on."""
    from books import schedules

    _do(schedule_id, lambda conn, now, _: schedules.pause(conn, schedule_id, reason, now, by))


@schedule.command()
@_SCHEDULE
@with_name
@with_json
def resume(schedule_id: int, by: str) -> None:
    """Go on with the next date from today; those of the pause are not made up for."""
    from books import schedules

    _do(schedule_id, lambda conn, now, zone: schedules.resume(conn, schedule_id, zone, now, by))


@schedule.command()
@_SCHEDULE
@with_reason
@with_name
@with_json
def skip(schedule_id: int, reason: str, by: str) -> None:
    """Pass over the next date."""
    from books import schedules

    _do(schedule_id, lambda conn, now, zone: schedules.skip(conn, schedule_id, reason, zone, now, by))


@schedule.command()
@_SCHEDULE
@with_reason
@with_name
@with_json
def stop(schedule_id: int, reason: str, by: str) -> None:
    """End it for good; a payment that was made goes on."""
    from books import schedules

    _do(schedule_id, lambda conn, now, _: schedules.stop(conn, schedule_id, reason, now, by))


def _do(schedule_id: int, act: Callable[[Connection, datetime, Any], object]) -> None:
    from books import schedules
    from cli.reach import office
    from papers import schedules as words

    with office() as at, at.transaction() as (conn, now):
        act(conn, now, at.zone)
        standing = schedules.get(conn, schedule_id)
    tell(standing, words.line(standing))


# ---- holds, and payments of a later day -----------------------------------------------------------------------------


@click.command()
@click.argument("customer")
@click.option("--until", metavar="YYYY-MM-DD", help="The last day of the hold. [default: until `defray unhold`]")
@with_reason
@with_name
@with_json
def hold(customer: str, until: str | None, reason: str, by: str) -> None:
    """Charge CUSTOMER nothing by itself: retries and planned payments wait, schedules pass their dates over."""
    from books import holds, lists
    from cli.reach import office
    from papers import schedules as words

    with office() as at, at.transaction() as (conn, now):
        zone = at.zone
        customer_id = lists.customer(conn, customer).id
        holds.place(conn, customer_id, reason, _day("until", until) if until else None, zone, now, by)
        standing = holds.of_customer(conn, customer_id, now)
    tell({"customer": customer, "hold": standing}, words.held(standing, zone) if standing else "")


@click.command()
@click.argument("customer")
@with_name
@with_json
def unhold(customer: str, by: str) -> None:
    """Lift the hold on CUSTOMER: what waits for that is looked at now."""
    from books import holds, lists
    from cli.reach import office

    with office() as at:
        with at.transaction() as (conn, now):
            waited = holds.lift(conn, lists.customer(conn, customer).id, now, by)
        if waited:
            at.wake.singles("charge")
    tell({"customer": customer, "waited": waited}, f"The hold is lifted; {counted(waited, 'payment')} waited for that.")


@click.command()
@click.argument("payment", type=ID)
@click.option("--on", "run_on", required=True, metavar="YYYY-MM-DD", help="The day on which it is charged.")
@with_name
@with_json
def move(payment: int, run_on: str, by: str) -> None:
    """Charge a planned payment on another day than it is planned for."""
    from books import plans, views
    from cli.reach import office
    from papers.story import payment_line

    with office() as at:
        zone = at.zone
        with at.transaction() as (conn, now):
            plans.move(conn, payment, _day("on", run_on), zone, now, by)
            status = views.payment(conn, payment)
    tell(status, payment_line(status, zone))


def _day(field: str, text: str) -> date:
    from rules.requests import parse_day

    day = parse_day(field, text)
    if isinstance(day, Fault):
        raise RequestRefused([day])
    return day


VERBS = (schedule, hold, unhold, move)
