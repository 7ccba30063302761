"""A payment's whole story in plain words: times by the business's clock, amounts as people read them.

Sections for a page, lines for a terminal: the same sentences.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

from books.views import (
    APPLICATIONS_SHOWN,
    Application,
    Attempt,
    DisputeStatus,
    NamedInvoice,
    PaymentStatus,
    ReversalStatus,
    Story,
)
from rules.declines import told
from rules.money import for_people
from rules.outcomes import DeclineClass

_PROOF: Final = {
    "started": "no answer is recorded yet",
    "unknown": "whether it was done is not known: the gateway is asked until it is",
    "review": "held for a person: neither yes nor no",
    "approved": "approved: the money was taken",
    "declined": "declined: no money was taken",
    "failed": "certainly not done: no money was taken",
    "surplus": "approved after it had been recorded as not done: it is reversed",
}
_RETURN_PROOF: Final = {
    "approved": "taken by the gateway",
    "declined": "refused by the gateway: nothing was returned by it",
    "failed": "certainly not done",
}
_REVERSAL: Final = {
    "voiding": "the charge is being voided at the gateway",
    "voided": "the gateway voided the charge: the money never leaves the card",
    "refund_due": "a refund is due",
    "refund_awaiting_approval": "the gateway cannot void it any more: shall the amount be returned to the card?",
    "refunding": "a refund was sent, its outcome is being found out",
    "refund_accepted": "the gateway accepted the refund, and is asked until it is final",
    "refunded": "the amount was returned to the card",
    "failed": "the amount could not be returned: a person must look",
    "kept": "the amount was kept as a credit",
}
_REFUND: Final = {**_REVERSAL, "failed": "it could not be made; it can be asked for again"}
_DISPUTE: Final = {
    "open": "the gateway holds that amount until it is decided",
    "won": "decided for us: the amount came back",
    "lost": "decided for the payer: the amount is gone",
}
_STATES: Final = {
    "requested": "waits to be worked on",
    "charging": "is being charged",
    "retrying": "was declined and is tried again",
    "review": "waits for a person",
    "posted": "is posted",
    "declined": "was declined",
    "cancelled": "is cancelled",
    "voided": "is void",
}
DECLINES: Final = {
    "soft_technical": "the issuer could not be asked",
    "soft_dated": "no funds, or a limit",
    "soft_generic": "the issuer gives no reason",
    "soft_unlisted": "a reason that no table knows",
    "new_data": "never again with this card's data",
    "other_way": "the payer must call or pay in another way",
    "hard": "never again with this card",
}


QUOTED_MAX: Final = 400
"""Characters of a gateway's answer that a terminal repeats."""


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a story: a sentence that opens it, and what belongs to it, one line each."""

    heading: str
    lines: tuple[str, ...] = ()


def moment(at: datetime, zone: ZoneInfo) -> str:
    """A moment by the business's clock."""
    return f"{at.astimezone(zone):%Y-%m-%d %H:%M:%S %Z}"


def payment_line(status: PaymentStatus, zone: ZoneInfo) -> str:
    """One payment in one sentence."""
    total = for_people(status.total_minor, status.currency)
    stands = _STATES[status.state]
    if status.is_planned and status.run_on is not None:
        stands = f"is planned for {status.run_on.isoformat()}"
    line = f"Payment {status.payment_id} of {total} by {status.method.replace('_', ' ')} {stands}"
    if status.outcome_unknown:
        line += "; whether the card was charged is not known yet, and the gateway is being asked"
    if status.state == "posted":
        line += f": {for_people(status.applied_minor, status.currency)} applied to invoices"
        if status.credited_minor:
            line += f", {for_people(status.credited_minor, status.currency)} credited"
        if status.refunded_minor:
            line += f", {for_people(status.refunded_minor, status.currency)} refunded"
        if status.charged_back_minor:
            line += f", {for_people(status.charged_back_minor, status.currency)} taken back by the card's bank"
    elif status.reason:
        line += f": {status.reason}"
    if status.state == "retrying" and status.due_at:
        line += f"; next on {moment(status.due_at, zone)}"
    if status.state == "voided" and status.reversal_state:
        line += f"; {_REVERSAL[status.reversal_state]}"
    return line if line.endswith("?") else f"{line}."


def story_lines(story: Story, zone: ZoneInfo) -> Iterator[str]:
    """A payment's whole story for a terminal; long answers of a gateway are cut at QUOTED_MAX."""
    for section in story_sections(story, zone, QUOTED_MAX):
        yield section.heading
        yield from (f"  {line}" for line in section.lines)
        yield ""
    yield from standing(story.payment, zone)


def story_sections(story: Story, zone: ZoneInfo, quoted_max: int | None = None) -> Iterator[Section]:
    """All that happened, in its order: who asked, each attempt, what the money paid, the way back, the history."""
    yield _asked(story, zone)
    yield from (_attempt(attempt, zone, quoted_max) for attempt in story.attempts)
    if story.applications or story.credits:
        yield Section("What its money paid:", tuple(_money(story, zone)))
    yield from (_reversal(reversal, zone) for reversal in story.reversals)
    yield from (_dispute(dispute, zone) for dispute in story.disputes)
    yield Section("History:", tuple(_history(story, zone)))


def standing(status: PaymentStatus, zone: ZoneInfo) -> Iterator[str]:
    """Where the payment stands, and what a person can do about it."""
    yield payment_line(status, zone)
    if status.cancel_wish_by and status.state in {"charging", "retrying", "review"}:
        yield f"{status.cancel_wish_by} wants it cancelled: no further attempt; an approval is reversed at once."
    if status.state == "retrying" and status.not_before:
        yield f"The card networks allow no attempt before {moment(status.not_before, zone)}."
    if status.state == "review":
        yield f"A person decides: `defray decide {status.payment_id}`, or `defray resolve` where a charge is held."
    if status.reversal_state == "refund_awaiting_approval":
        yield f"Say `defray refund approve {status.payment_id}` or `defray refund keep {status.payment_id}`."


def _asked(story: Story, zone: ZoneInfo) -> Section:
    asked = story.payment
    total = for_people(asked.total_minor, asked.currency)
    card = f" with the card {asked.card}" if asked.card else ""
    number = f" no. {asked.number}" if asked.number else ""
    named = ", ".join(_named(invoice, asked.currency) for invoice in story.invoices)
    lines = [f"for {named}." if named else "for whatever is owed, oldest first."]
    if asked.method == "credit_card":
        lines.append(
            f"It goes to {asked.gateway}." if asked.gateway else "No gateway charges it: it is recorded like cash."
        )
    return Section(
        f"{moment(asked.recorded_at, zone)}: {asked.recorded_by} ({asked.caller}, key {asked.idempotency_key}) asked"
        f" for payment {asked.payment_id}: {total} by {asked.method.replace('_', ' ')}{number}{card}"
        f" from {asked.customer} ({asked.customer_name}),",
        tuple(lines),
    )


def _named(invoice: NamedInvoice, currency: str) -> str:
    most = f" (at most {for_people(invoice.cap_minor, currency)})" if invoice.cap_minor is not None else ""
    return f"invoice {invoice.invoice}{most}"


def _attempt(attempt: Attempt, zone: ZoneInfo, quoted_max: int | None) -> Section:
    amount = for_people(attempt.amount_minor, attempt.currency)
    lines = []
    if attempt.sends > 1:
        lines.append(f"It was sent {attempt.sends} times under the same reference.")
    for heard in attempt.evidence:
        said = _quoted(heard.said, heard.http_status, quoted_max)
        lines.append(f"{moment(heard.at, zone)} {_HEARD[heard.kind]}: {said}")
    proof = _PROOF if attempt.operation == "sale" else {**_PROOF, **_RETURN_PROOF}
    lines.append(f"It stands as {proof[attempt.state]}{_why(attempt)}.")
    if attempt.decline_class:
        advice = told(attempt.gateway, attempt.code, DeclineClass(attempt.decline_class))
        lines.append(f"It means: {advice.meaning}. {advice.clerk} The customer may hear: {advice.customer}")
    if attempt.next_step and attempt.due_at:
        lines.append(f"The gateway is asked next on {moment(attempt.due_at, zone)}; {attempt.asked} times so far.")
    return Section(
        f"{moment(attempt.started_at, zone)}: {attempt.operation} of {amount} at {attempt.gateway},"
        f" merchant reference {attempt.reference}"
        + (f" ({attempt.reference_decimal})" if attempt.gateway == "plugnpay" else "")
        + (f", the gateway's number {attempt.transaction_id}" if attempt.transaction_id else ""),
        tuple(lines),
    )


_HEARD: Final = {"reply": "the gateway answered", "inquiry": "asked again, the gateway said", "person": "a person said"}


def _why(attempt: Attempt) -> str:
    said = f"{attempt.code} {attempt.message}".strip()
    advice = f", {DECLINES[attempt.decline_class]}" if attempt.decline_class else ""
    return f" ({said}{advice})" if said or advice else ""


def _quoted(said: dict[str, str], http_status: int | None, most: int | None) -> str:
    fields = ", ".join(f"{name}={value}" for name, value in said.items() if value)
    if most is not None and len(fields) > most:
        fields = fields[:most] + " ... (--json has all of it)"
    return f"{f'HTTP {http_status}, ' if http_status not in (None, 200) else ''}{fields or 'nothing'}"


def _money(story: Story, zone: ZoneInfo) -> Iterator[str]:
    currency = story.payment.currency
    for one in story.applications:
        yield _applied(one, currency, zone)
    if story.applications_count > APPLICATIONS_SHOWN:
        yield f"and {story.applications_count - APPLICATIONS_SHOWN:,} more"
    for made in story.credits:
        left = for_people(made.balance_minor, currency)
        back = f", {for_people(made.taken_back_minor, currency)} taken back" if made.taken_back_minor else ""
        yield f"credit {made.credit_id}: {for_people(made.amount_minor, currency)}, {left} left{back} ({made.note})"


def _applied(one: Application, currency: str, zone: ZoneInfo) -> str:
    source = f" from credit {one.credit_id} (application {one.allocation_id})" if one.credit_id else ""
    undone = ""
    if one.reversed_minor and one.reversed_at:
        undone = f"; {for_people(one.reversed_minor, currency)} of it undone on {moment(one.reversed_at, zone)}"
    return f"{for_people(one.amount_minor, currency)} to invoice {one.invoice}{source}{undone}"


def _reversal(reversal: ReversalStatus, zone: ZoneInfo) -> Section:
    amount = for_people(reversal.amount_minor, reversal.currency)
    lines = []
    if reversal.voids or reversal.refunds:
        lines.append(f"Voids sent: {reversal.voids}; refunds sent: {reversal.refunds}.")
    if reversal.next_step and reversal.due_at:
        lines.append(f"Next step: {reversal.next_step}, on {moment(reversal.due_at, zone)}.")
    how = _REFUND if reversal.purpose == "refund" else _REVERSAL
    wanted = f"{amount} refunded" if reversal.purpose == "refund" else f"{amount} returned to the card"
    return Section(
        f"{moment(reversal.started_at, zone)}: {reversal.started_by} wanted {wanted}"
        f" ({reversal.reason}): {how[reversal.state]}.",
        tuple(lines),
    )


def _dispute(dispute: DisputeStatus, zone: ZoneInfo) -> Section:
    amount = for_people(dispute.amount_minor, dispute.currency)
    ended: tuple[str, ...] = ()
    if dispute.ended_at:
        ended = (
            f"{dispute.state.capitalize()} on {moment(dispute.ended_at, zone)}, by {dispute.ended_by}:"
            f" {dispute.ended_why}.",
        )
    return Section(
        f"{moment(dispute.opened_at, zone)}: the card's bank disputes {amount}, case {dispute.reference}"
        f" ({dispute.reason}; recorded by {dispute.opened_by}): {_DISPUTE[dispute.state]}.",
        ended,
    )


def _history(story: Story, zone: ZoneInfo) -> Iterator[str]:
    for manifest in story.archives:
        yield f"Older events and evidence were archived: {manifest}"
    for event in story.events:
        why = f": {event.why}" if event.why else ""
        yield f"{moment(event.at, zone)}  {event.what.replace('.', ' ').replace('_', ' ')}, by {event.by}{why}"
