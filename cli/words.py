"""Where things stand, in plain words for people: times by the business's clock, amounts as people read them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from zoneinfo import ZoneInfo

from books.audit import Finding
from books.views import BatchStatus, Event, Overall, PaymentStatus, Sums, Waiting
from cli.output import counted, table
from papers.story import moment, payment_line
from rules.money import for_people


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
    yield from _waiting("Disputes that are not decided (`defray dispute won|lost`)", seen.open_disputes)
    yield from _waiting("Refunds that failed of late (`defray refund` asks again)", seen.failed_refunds)
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


def archive_lines(manifests: Sequence[str]) -> list[str]:
    """Where older events and evidence are, which the books need no more."""
    if not manifests:
        return []
    return [f"Older events and evidence are in {counted(len(manifests), 'archive')}: {', '.join(manifests)}."]
