"""Verbs by which people undo and decide: void, cancel, refund, dispute, resolve, decide, credit."""

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
        if done.next_step is not None:
            at.wake.reversals(done.next_step, payment)
    words = [f"Payment {payment} is void."]
    if done.reopened:
        words.append(f"Owed again: {counted(len(done.reopened), 'invoice')}.")
    if done.next_step is not None:
        words.append(f"Its charge goes back to the card: `defray explain {payment}` tells how far that is.")
    elif done.reversal_id is not None:
        words.append(f"Only a refund can return its charge: `defray refund approve|keep {payment}`.")
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


class PaymentOrAnswer(click.Group):
    """A group whose verb may be left out: what is none of its names is the payment that is refunded."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put the name of the verb that was left out before its arguments."""
        if args and args[0] not in self.commands and args[0] not in ctx.help_option_names:
            args = [_REFUND, *args]
        return super().parse_args(ctx, args)


class RefundItself(click.Command):
    """Is written as `defray refund 1042`: its name in the group stands for the payment."""

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        """Without the payment, which the name says."""
        return [piece for piece in super().collect_usage_pieces(ctx) if piece != _REFUND]


_REFUND = "PAYMENT"


@click.group(cls=PaymentOrAnswer, subcommand_metavar="PAYMENT|approve|keep|resolve ...")
def refund() -> None:
    """Refund a posted card payment, all of it or a part; or answer whether a voided one's charge is returned.

    \b
    defray refund 1042 --amount 12.50 --reason "goods returned"
    defray refund approve 1042
    defray refund keep 1042 --reason "as agreed"
    defray refund resolve 1042 not_made --reason "the gateway's support says so"
    """


@refund.command(_REFUND, cls=RefundItself)
@_PAYMENT
@click.option("--amount", metavar="DECIMAL", help="How much, such as 12.50. [default: all that can be refunded]")
@with_reason
@with_name
@with_json
def refund_part(payment: int, amount: str | None, reason: str, by: str) -> None:
    """Refund a posted card payment, or a part of it (R17).

    Its invoices and credit move when the gateway approved it: unused credit goes first, then what was applied last.
    """
    from books import refund as refunding
    from books import views
    from cli.reach import office
    from rules.money import for_people

    with office() as at:
        with at.transaction() as (conn, now):
            currency = views.payment(conn, payment).currency
            reversal = refunding.ask(conn, payment, _minor(amount, currency), reason, now, by)
            left = refunding.charge(conn, payment).refundable_minor
            asked = refunding.amount_of(conn, reversal)
        at.wake.reversals("refund", payment)
    data = {"payment_id": payment, "reversal_id": reversal, "amount_minor": asked, "refundable_minor": left}
    tell(
        {**data, "currency": currency},
        [
            f"A refund of {for_people(asked, currency)} of payment {payment} is on its way:"
            f" `defray explain {payment}` tells how far that is.",
            f"Still refundable: {for_people(left, currency)}.",
        ],
    )


def _minor(amount: str | None, currency: str) -> int | None:
    from rules.money import parse_decimal

    if amount is None:
        return None
    minor = parse_decimal(amount, currency)
    if isinstance(minor, Fault):
        raise RequestRefused([minor])
    return minor


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


@refund.command("resolve")
@_PAYMENT
@click.argument("verdict", type=click.Choice(["made", "not_made"]))
@click.option("--amount", metavar="DECIMAL", help="Of the refund that is meant, where several are unknown.")
@with_reason
@with_name
@with_json
def resolve_refund(payment: int, verdict: str, amount: str | None, reason: str, by: str) -> None:
    """Say what became of a refund whose outcome could not be found out (after asking the gateway's support).

    One that was not made counts for nothing: ask for it again, or approve or keep it.
    """
    from books import reverse, views
    from cli.reach import office

    with office() as at, at.transaction() as (conn, now):
        minor = _minor(amount, views.payment(conn, payment).currency)
        reverse.resolve(conn, payment, verdict == "made", minor, reason, at.terms(), now, by)
    tell(
        {"payment_id": payment, "refund": verdict}, f"The refund of payment {payment} was {verdict.replace('_', ' ')}."
    )


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


@click.group()
def dispute() -> None:
    """Record that a payer's bank disputes a charge, and how that ended."""


_CASE = click.option("--case", required=True, metavar="REF", help="The bank's or the gateway's name of the case.")


@dispute.command("open")
@_PAYMENT
@_CASE
@click.option("--amount", metavar="DECIMAL", help="How much of the charge, such as 12.50. [default: all of it]")
@with_reason
@with_name
@with_json
def open_dispute(payment: int, case: str, amount: str | None, reason: str, by: str) -> None:
    """A charge of PAYMENT is disputed: the gateway holds the amount, and none of it is refunded meanwhile (R17)."""
    from books import dispute as disputing
    from books import views
    from cli.reach import office

    case = _case(case)
    with office() as at, at.transaction() as (conn, now):
        minor = _minor(amount, views.payment(conn, payment).currency)
        new = disputing.open_case(conn, payment, case, minor, reason, at.today(now), now, by)
    words = (
        f"Payment {payment} is disputed, case {case}." if new else f"Case {case} was known already: nothing changed."
    )
    tell({"payment_id": payment, "case": case, "state": "open", "new": new}, words)


def _case(said: str) -> str:
    from rules.requests import check_words

    checked = check_words("case", said)
    if isinstance(checked, Fault):
        raise RequestRefused([checked])
    return checked


@dispute.command()
@_PAYMENT
@_CASE
@with_reason
@with_name
@with_json
def won(payment: int, case: str, reason: str, by: str) -> None:
    """The bank decided for us: the gateway gives the amount back."""
    from books import dispute as disputing
    from cli.reach import office

    with office() as at, at.transaction() as (conn, now):
        ended = disputing.win(conn, payment, _case(case), reason, at.today(now), now, by)
    tell(ended, f"Case {case} of payment {payment} is won: the amount can be refunded or voided again.")


@dispute.command()
@_PAYMENT
@_CASE
@with_reason
@with_name
@with_json
def lost(payment: int, case: str, reason: str, by: str) -> None:
    """The bank decided for the payer: unused credit is gone first, then invoices are owed again, the newest first."""
    from books import dispute as disputing
    from books import views
    from cli.reach import office
    from rules.money import for_people

    with office() as at, at.transaction() as (conn, now):
        ended = disputing.lose(conn, payment, _case(case), reason, at.today(now), now, by)
        currency = views.payment(conn, payment).currency
    words = [
        f"Case {case} of payment {payment} is lost: {for_people(ended.taken_minor, currency)} of it no longer counts."
    ]
    if ended.lost_minor:
        words.append(f"{for_people(ended.lost_minor, currency)} had been given back before, and is a loss.")
    tell(ended, words)


VERBS = (void, cancel, refund, dispute, resolve, decide, credit)
