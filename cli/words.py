"""Where things stand, in plain words for people: times by the business's clock, amounts as people read them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

from books.audit import Finding
from books.views import (
    APPLICATIONS_SHOWN,
    Application,
    Attempt,
    BatchStatus,
    Event,
    NamedInvoice,
    Overall,
    PaymentStatus,
    ReversalStatus,
    Story,
    Sums,
    Waiting,
)
from cli.output import counted, table
from rules.money import for_people

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
_DECLINES: Final = {
    "soft_technical": "the issuer could not be asked",
    "soft_dated": "no funds, or a limit",
    "soft_generic": "the issuer gives no reason",
    "soft_unlisted": "a reason that no table knows",
    "new_data": "never again with this card's data",
    "other_way": "the payer must call or pay in another way",
    "hard": "never again with this card",
}


QUOTED_MAX: Final = 400
"""Characters of a gateway's answer that a story repeats."""


def moment(at: datetime, zone: ZoneInfo) -> str:
    """A moment by the business's clock."""
    return f"{at.astimezone(zone):%Y-%m-%d %H:%M:%S %Z}"


def payment_line(status: PaymentStatus, zone: ZoneInfo) -> str:
    """One payment in one sentence."""
    total = for_people(status.total_minor, status.currency)
    line = f"Payment {status.payment_id} of {total} by {status.method.replace('_', ' ')} {_STATES[status.state]}"
    if status.outcome_unknown:
        line += "; whether the card was charged is not known yet, and the gateway is being asked"
    if status.state == "posted":
        line += f": {for_people(status.applied_minor, status.currency)} applied to invoices"
        if status.credited_minor:
            line += f", {for_people(status.credited_minor, status.currency)} credited"
    elif status.reason:
        line += f": {status.reason}"
    if status.state == "retrying" and status.due_at:
        line += f"; next on {moment(status.due_at, zone)}"
    if status.state == "voided" and status.reversal_state:
        line += f"; {_REVERSAL[status.reversal_state]}"
    return line if line.endswith("?") else f"{line}."


def payment_lines(status: PaymentStatus, zone: ZoneInfo) -> list[str]:
    """One payment's status."""
    lines = [payment_line(status, zone), f"  customer    {status.customer} ({status.customer_name})"]
    lines.append(
        f"  asked       {moment(status.recorded_at, zone)} by {status.recorded_by}, key {status.idempotency_key}"
    )
    if status.batch_id is not None:
        lines.append(f"  batch       {status.batch_id}")
    if status.card:
        lines.append(f"  card        {status.card}, {f'by {status.gateway}' if status.gateway else 'not charged'}")
    if status.post_date:
        lines.append(f"  post date   {status.post_date.isoformat()}")
    if status.attempts:
        lines.append(f"  attempts    {status.attempts}")
    if status.notes:
        lines.append(f"  notes       {status.notes}")
    return lines


# ---- a batch and everything -----------------------------------------------------------------------------------------


def _sums(sums: Iterable[Sums]) -> list[str]:
    rows = [
        (
            f"{one.payments:,}",
            *(
                for_people(amount, one.currency)
                for amount in (one.requested_minor, one.posted_minor, one.applied_minor, one.credited_minor)
            ),
        )
        for one in sums
    ]
    head = ("payments", "asked for", "posted", "applied to invoices", "credited")
    return table(head, rows, right=range(5)) if rows else []


def _counts(by_state: dict[str, int]) -> str:
    return ", ".join(f"{state} {count:,}" for state, count in sorted(by_state.items())) or "none"


def _payment_table(payments: Sequence[PaymentStatus]) -> list[str]:
    rows = [
        (
            one.payment_id,
            one.customer,
            one.method.replace("_", " "),
            for_people(one.total_minor, one.currency),
            f"{one.state} ({one.reversal_state.replace('_', ' ')})" if one.reversal_state else one.state,
            one.reason,
        )
        for one in payments
    ]
    return table(("payment", "customer", "method", "amount", "state", "why"), rows, right=(3,)) if rows else []


def batch_lines(batch: BatchStatus, zone: ZoneInfo) -> list[str]:
    """A batch: how far it is, its sums, what did not go well first."""
    waiting = f", {batch.waiting:,} wait for another day, an answer or a person" if batch.waiting else ""
    return [
        f"Batch {batch.batch_id}, {batch.label}, handed in {moment(batch.created_at, zone)} by {batch.created_by}:",
        f"  {batch.finished:,} of {batch.payments:,} finished{waiting}",
        f"  {_counts(batch.by_state)}",
        "",
        *_sums(batch.sums),
        "",
        *_payment_table(batch.rows),
    ]


def overall_lines(seen: Overall, zone: ZoneInfo) -> Iterator[str]:
    """Everything at a glance."""
    yield f"Payments: {_counts(seen.payments_by_state)}"
    yield f"Invoices: {_counts(seen.invoices_by_state)}"
    yield from ("", *_sums(seen.sums))
    if seen.gateways:
        yield ""
        yield from table(
            ("gateway", "approved", "taken", "returned", "given back", "declined", "not known yet"),
            [
                (
                    one.gateway,
                    f"{one.approved:,}",
                    for_people(one.approved_minor, one.currency),
                    f"{one.returned:,}",
                    for_people(one.returned_minor, one.currency),
                    f"{one.declined:,}",
                    f"{one.open:,}",
                )
                for one in seen.gateways
            ],
            right=range(1, 7),
        )
    if seen.due:
        yield ""
        yield from table(
            ("next step", "scheduled", "due", "overdue", "next"),
            [
                (one.step, f"{one.scheduled:,}", f"{one.due:,}", f"{one.overdue:,}", moment(one.next_at, zone))
                for one in seen.due
                if one.next_at
            ],
            right=(1, 2, 3),
        )
    yield from _waiting("Outcomes that are not known yet", seen.unknown_outcomes)
    yield from _waiting("Payments that a person must decide on", seen.in_review)
    yield from _waiting("Refunds that wait for a yes or no (`defray refund`)", seen.refunds_awaiting_approval)
    yield from _waiting("Charges that could not be returned", seen.failed_reversals)
    if seen.alarms:
        yield "\nAlarms of late:"
        yield from (f"  {_alarm(alarm, zone)}" for alarm in seen.alarms)
    if seen.open_batches:
        yield "\nOpen batches: " + ", ".join(f"{batch_id} ({label})" for batch_id, label in seen.open_batches)
    if seen.latest:
        yield "\nThe latest payments:"
        yield from _payment_table(seen.latest)


def _waiting(what: str, waiting: Sequence[Waiting]) -> Iterator[str]:
    if waiting:
        yield f"\n{what}:"
        yield from (f"  payment {one.payment_id}: {one.why}" for one in waiting)


def _alarm(event: Event, zone: ZoneInfo) -> str:
    of = f" payment {event.payment_id}:" if event.payment_id else ""
    return f"{moment(event.at, zone)} {event.what.removeprefix('alarm.').replace('_', ' ')}:{of} {event.why}"


# ---- a payment's story ----------------------------------------------------------------------------------------------


def story_lines(story: Story, zone: ZoneInfo) -> Iterator[str]:
    """A payment's whole story."""
    asked = story.payment
    total = for_people(asked.total_minor, asked.currency)
    card = f" with the card {asked.card}" if asked.card else ""
    number = f" no. {asked.number}" if asked.number else ""
    yield (
        f"{moment(asked.recorded_at, zone)}: {asked.recorded_by} ({asked.caller}, key {asked.idempotency_key}) asked"
        f" for payment {asked.payment_id}: {total} by {asked.method.replace('_', ' ')}{number}{card}"
        f" from {asked.customer} ({asked.customer_name}),"
    )
    if story.invoices:
        yield "  for " + ", ".join(_named(invoice, asked.currency) for invoice in story.invoices) + "."
    else:
        yield "  for whatever is owed, oldest first."
    if asked.method == "credit_card":
        yield (
            f"  It goes to {asked.gateway}." if asked.gateway else "  No gateway charges it: it is recorded like cash."
        )
    for attempt in story.attempts:
        yield from _attempt(attempt, zone)
    yield from _money(story, zone)
    for reversal in story.reversals:
        yield from _reversal(reversal, zone)
    yield from _history(story, zone)
    yield ""
    yield payment_line(asked, zone)
    yield from _what_now(asked, zone)


def _named(invoice: NamedInvoice, currency: str) -> str:
    most = f" (at most {for_people(invoice.cap_minor, currency)})" if invoice.cap_minor is not None else ""
    return f"invoice {invoice.invoice}{most}"


def _attempt(attempt: Attempt, zone: ZoneInfo) -> Iterator[str]:
    amount = for_people(attempt.amount_minor, attempt.currency)
    yield ""
    yield (
        f"{moment(attempt.started_at, zone)}: {attempt.operation} of {amount} at {attempt.gateway},"
        f" merchant reference {attempt.reference}"
        + (f" ({attempt.reference_decimal})" if attempt.gateway == "plugnpay" else "")
        + (f", the gateway's number {attempt.transaction_id}" if attempt.transaction_id else "")
    )
    if attempt.sends > 1:
        yield f"  It was sent {attempt.sends} times under the same reference."
    for heard in attempt.evidence:
        yield f"  {moment(heard.at, zone)} {_HEARD[heard.kind]}: {_quoted(heard.said, heard.http_status)}"
    proof = _PROOF if attempt.operation == "sale" else {**_PROOF, **_RETURN_PROOF}
    yield f"  It stands as {proof[attempt.state]}{_why(attempt)}."
    if attempt.next_step and attempt.due_at:
        yield f"  The gateway is asked next on {moment(attempt.due_at, zone)}; {attempt.asked} times so far."


_HEARD: Final = {"reply": "the gateway answered", "inquiry": "asked again, the gateway said", "person": "a person said"}


def _why(attempt: Attempt) -> str:
    said = f"{attempt.code} {attempt.message}".strip()
    advice = f", {_DECLINES[attempt.decline_class]}" if attempt.decline_class else ""
    return f" ({said}{advice})" if said or advice else ""


def _quoted(said: dict[str, str], http_status: int | None) -> str:
    fields = ", ".join(f"{name}={value}" for name, value in said.items() if value)
    if len(fields) > QUOTED_MAX:
        fields = fields[:QUOTED_MAX] + " ... (--json has all of it)"
    return f"{f'HTTP {http_status}, ' if http_status not in (None, 200) else ''}{fields or 'nothing'}"


def _money(story: Story, zone: ZoneInfo) -> Iterator[str]:
    if not story.applications and not story.credits:
        return
    currency = story.payment.currency
    yield ""
    yield "What its money paid:"
    for one in story.applications:
        yield f"  {_applied(one, currency, zone)}"
    if story.applications_count > APPLICATIONS_SHOWN:
        yield f"  and {story.applications_count - APPLICATIONS_SHOWN:,} more"
    for made in story.credits:
        left = for_people(made.balance_minor, currency)
        back = f", {for_people(made.taken_back_minor, currency)} taken back" if made.taken_back_minor else ""
        yield f"  credit {made.credit_id}: {for_people(made.amount_minor, currency)}, {left} left{back} ({made.note})"


def _applied(one: Application, currency: str, zone: ZoneInfo) -> str:
    source = f" from credit {one.credit_id} (application {one.allocation_id})" if one.credit_id else ""
    undone = ""
    if one.reversed_minor and one.reversed_at:
        undone = f"; {for_people(one.reversed_minor, currency)} of it undone on {moment(one.reversed_at, zone)}"
    return f"{for_people(one.amount_minor, currency)} to invoice {one.invoice}{source}{undone}"


def _reversal(reversal: ReversalStatus, zone: ZoneInfo) -> Iterator[str]:
    amount = for_people(reversal.amount_minor, reversal.currency)
    yield ""
    yield (
        f"{moment(reversal.started_at, zone)}: {reversal.started_by} wanted {amount} returned to the card"
        f" ({reversal.reason}): {_REVERSAL[reversal.state]}."
    )
    if reversal.voids or reversal.refunds:
        yield f"  Voids sent: {reversal.voids}; refunds sent: {reversal.refunds}."
    if reversal.next_step and reversal.due_at:
        yield f"  Next step: {reversal.next_step}, on {moment(reversal.due_at, zone)}."


def _history(story: Story, zone: ZoneInfo) -> Iterator[str]:
    yield ""
    yield "History:"
    for event in story.events:
        why = f": {event.why}" if event.why else ""
        yield f"  {moment(event.at, zone)}  {event.what.replace('.', ' ').replace('_', ' ')}, by {event.by}{why}"


def _what_now(status: PaymentStatus, zone: ZoneInfo) -> Iterator[str]:
    if status.cancel_wish_by and status.state in {"charging", "retrying", "review"}:
        yield f"{status.cancel_wish_by} wants it cancelled: no further attempt; an approval is reversed at once."
    if status.state == "retrying" and status.not_before:
        yield f"The card networks allow no attempt before {moment(status.not_before, zone)}."
    if status.state == "review":
        yield f"A person decides: `defray decide {status.payment_id}`, or `defray resolve` where a charge is held."
    if status.reversal_state == "refund_awaiting_approval":
        yield f"Say `defray refund approve {status.payment_id}` or `defray refund keep {status.payment_id}`."


# ---- the audit ------------------------------------------------------------------------------------------------------


def audit_lines(findings: Sequence[Finding], invariants: int) -> list[str]:
    """What the audit says."""
    if not findings:
        return [f"The books hold: {invariants} invariants, nothing found."]
    lines = [f"Invariants that do not hold: {len(findings)} of {invariants}."]
    for finding in findings:
        ids = ", ".join(map(str, finding.rows))
        lines += [
            f"  {finding.invariant}: {finding.sentence}",
            f"    {counted(finding.count, 'row')} of {finding.table}{f': {ids}' if ids else ''}",
            f"    {finding.hint}",
        ]
    return lines
