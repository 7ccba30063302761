"""Verbs by which people undo and decide: void, cancel, refund, resolve, decide, credit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cli.output import ID, counted, tell, with_json, with_name, with_reason
from rules.errors import Fault, RequestRefused

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from cli.reach import Office

_PAYMENT = click.argument("payment", type=ID)


@click.command()
@_PAYMENT
@with_reason
@click.option(
    "--refund",
    type=click.Choice(["auto", "ask"]),
    help="Where the gateway cannot void the charge: refund by itself, or ask. [default: DEFRAY_REFUND_ON_VOID_FAILURE]",
)
@with_name
@with_json
def void(payment: int, reason: str, refund: str | None, by: str) -> None:
    """Void a posted payment: its invoices are owed again, its credit is taken back, its charge is returned."""
    from books import void as voiding
    from cli.reach import office

    with office() as at:
        policy = refund or at.settings.refund_on_void_failure
        with at.transaction() as (conn, now):
            done = voiding.void(conn, payment, reason, policy, at.today(now), now, by)
        if done.reversal_id is not None:
            at.wake.reversals("void", payment)
    words = [f"Payment {payment} is void."]
    if done.reopened:
        words.append(f"Owed again: {counted(len(done.reopened), 'invoice')}.")
    if done.reversal_id is not None:
        words.append(f"Its charge goes back to the card: `defray explain {payment}` tells how far that is.")
    tell(done, words)


@click.command()
@_PAYMENT
@with_reason
@with_name
@with_json
def cancel(payment: int, reason: str, by: str) -> None:
    """Cancel a payment that was not charged yet; for one that is being charged it is a wish."""
    from books import void as voiding
    from cli.reach import office

    with office() as at, at.transaction() as (conn, now):
        cancelled = voiding.cancel(conn, payment, reason, now, by)
        if cancelled:
            _forget_card(at, conn, payment)
    words = (
        f"Payment {payment} is cancelled."
        if cancelled
        else f"Payment {payment} is being charged: no further attempt is made, and an approval is reversed at once."
    )
    tell({"payment_id": payment, "cancelled": cancelled}, words)


def _forget_card(at: Office, conn: Connection, payment_id: int) -> None:
    """C2: no more attempt is to come, so the number is not needed any more."""
    from books import views

    if token := views.card_of_its_own(conn, payment_id):
        at.vault().drop_keys(conn, [token])


@click.group()
def refund() -> None:
    """Answer whether a voided payment's charge, which its gateway could not void, is returned to the card."""


@refund.command()
@_PAYMENT
@with_name
@with_json
def approve(payment: int, by: str) -> None:
    """Yes, return the amount to the card; also for another try of a refund that failed."""
    from books import reverse
    from cli.reach import office

    with office() as at:
        with at.transaction() as (conn, now):
            reverse.approve(conn, payment, at.today(now), now, by)
        at.wake.reversals("refund", payment)
    tell({"payment_id": payment, "refund": "approved"}, f"The refund of payment {payment} is on its way.")


@refund.command()
@_PAYMENT
@with_reason
@click.option("--apply-again", is_flag=True, help="Let the credit pay at once the invoices that the payment had paid.")
@with_name
@with_json
def keep(payment: int, reason: str, apply_again: bool, by: str) -> None:
    """No, keep the amount: it becomes the customer's credit."""
    from books import reverse
    from cli.reach import office

    with office() as at, at.transaction() as (conn, now):
        reverse.keep(conn, payment, reason, apply_again, at.today(now), now, by)
    tell({"payment_id": payment, "refund": "kept"}, f"The amount of payment {payment} is kept as a credit.")


@click.command()
@_PAYMENT
@click.argument("verdict", type=click.Choice(["approved", "declined", "not_made"]))
@with_reason
@with_name
@with_json
def resolve(payment: int, verdict: str, reason: str, by: str) -> None:
    """Say what became of a charge whose outcome could not be found out (after asking the gateway's support)."""
    from books import inquire, views
    from cli.reach import office
    from papers.story import payment_line

    with office() as at:
        with at.transaction() as (conn, now):
            tally = inquire.resolve(conn, payment, verdict, reason, at.terms(), now, by)
            vault = at.vault()
            vault.drop_security_codes(conn, tally.answered_cards)
            vault.drop_keys(conn, tally.spent_cards)
            status = views.payment(conn, payment)
        if status.next_step == "charge":
            at.wake.payment(payment, "charge")
        if tally.reversals:
            at.wake.reversals("void", payment)
    tell(status, payment_line(status, at.settings.business_time_zone))


@click.command()
@_PAYMENT
@click.argument("choice", type=click.Choice(["charge_reduced", "charge_all", "cancel"]))
@with_reason
@with_name
@with_json
def decide(payment: int, choice: str, reason: str, by: str) -> None:
    """Let a payment in review be charged (what is owed still, or all of it), or cancel it."""
    from books import decide as deciding
    from books import views
    from cli.reach import office
    from papers.story import payment_line

    with office() as at:
        with at.transaction() as (conn, now):
            deciding.decide(conn, payment, choice, reason, now, by)
            if choice == deciding.CANCEL:
                _forget_card(at, conn, payment)
            status = views.payment(conn, payment)
        if choice != deciding.CANCEL:
            at.wake.payment(payment, "charge")
    tell(status, payment_line(status, at.settings.business_time_zone))


@click.group()
def credit() -> None:
    """Apply a customer's credits to invoices, or undo that."""


@credit.command("apply")
@click.argument("customer")
@click.option("--currency", default="USD", show_default=True, metavar="CODE", help="ISO 4217.")
@click.option("--invoice", "invoices", multiple=True, metavar="NUMBER", help="Which, in this order; else oldest first.")
@click.option("--credit", "credit_id", type=ID, metavar="ID", help="Only this credit; else all, oldest first.")
@with_name
@with_json
def apply_credit(customer: str, currency: str, invoices: tuple[str, ...], credit_id: int | None, by: str) -> None:
    """Let CUSTOMER's credits pay invoices."""
    from books import credit as credits_
    from books import views
    from cli.reach import office
    from rules.money import check_currency, for_people

    if isinstance(fault := check_currency(currency), Fault):
        raise RequestRefused([fault])
    with office() as at, at.transaction() as (conn, now):
        owner = views.customer(conn, customer)
        named = views.invoices_named(conn, owner, currency, invoices) if invoices else None
        applied = credits_.apply_to_invoices(conn, owner, currency, named, at.today(now), now, by, credit_id=credit_id)
    total, paid = sum(one.amount_minor for one in applied), {one.invoice_id for one in applied}
    tell(
        {"customer": customer, "currency": currency, "applied": applied, "total_minor": total},
        f"{for_people(total, currency)} of credit went to {counted(len(paid), 'invoice')}."
        if applied
        else "Nothing was applied: no credit is left, or nothing is owed.",
    )


@credit.command()
@click.argument("application", type=ID)
@with_reason
@with_name
@with_json
def undo(application: int, reason: str, by: str) -> None:
    """Undo one APPLICATION of a credit (`defray explain` shows their numbers)."""
    from books import credit as credits_
    from cli.reach import office

    with office() as at, at.transaction() as (conn, now):
        done = credits_.take_back(conn, application, reason, at.today(now), now, by)
    tell(done, f"Application {application} is undone: credit {done.credit_id} has it back, the invoice owes it again.")


VERBS = (void, cancel, refund, resolve, decide, credit)
