"""The main job of `defray up`: the sample batch from request to books that balance, and one refund to look at.

Everything goes the way that anybody's payments go. Run again, it goes on with the data that is there.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from books import views
from books import void as voiding
from books.audit import INVARIANTS, Finding, audit
from books.views import AtGateway, BatchStatus, Overall
from cli import sample_people
from cli.output import table
from cli.reach import Office, office
from cli.words import audit_lines
from papers.story import moment, payment_line
from producer import sample
from rules.errors import DefrayError
from rules.money import for_people
from settings import load

if TYPE_CHECKING:
    from local.up import Running

BY: Final = "the sample"
_PATIENCE_SECONDS: Final = 120
"""A batch that makes no progress for so long is not waited for any more."""
_LOOK_EVERY: Final = 0.2
_ON_ITS_WAY: Final = {"voiding", "refund_due", "refunding"}


def nothing(running: Running) -> bool:
    """No job: everything is just kept up."""
    running.check()
    return True


def run(running: Running) -> bool:
    """Hand in the sample, wait until its batch has ended, void one charge, and tell what came of it all.

    True if the batch ended, the audit passed, and the sandbox's own books say what ours say.
    """
    with office(load(running.environment)) as at:
        log_ins = sample_people.ready(at, BY)
        drawn = sample.draw()
        with tempfile.TemporaryDirectory() as folder:
            customers, invoices = sample.bill(drawn, at.engine, Path(folder), BY)
        receipt = sample.hand_in(drawn, at.producer(), BY)
        if receipt.batch_id is None:
            raise DefrayError(f"{receipt.refused_count} payments of the sample were refused.", str(receipt.refused[:3]))
        click.echo(
            f"The sample: {customers.recorded + customers.repeated:,} customers,"
            f" {invoices.recorded + invoices.repeated:,} invoices; batch {receipt.batch_id} of"
            f" {receipt.recorded + receipt.repeated:,} payments"
            + ("." if receipt.recorded else ", handed in by an earlier run.")
        )
        batch = _watch_batch(at, receipt.batch_id, running.check)
        sandbox = _Sandbox(running)
        voided = _void_one(at, receipt.batch_id, sandbox, running.check) if sandbox.used else None
        with at.reading() as (conn, now):
            batch = views.batch(conn, receipt.batch_id, most=0)
            seen = views.overall(conn, now)
            story = views.story(conn, voided) if voided else None
            findings = audit(conn)
        theirs = sandbox.charges() if sandbox.used else None
    agree = theirs is None or all(_agrees(ours, theirs) for ours in seen.gateways)
    zone = at.settings.business_time_zone
    for line in _summary(batch, seen, theirs):
        click.echo(line)
    if story:
        click.echo(f"\n{payment_line(story.payment, zone)}")
        for attempt in story.attempts:
            click.echo(
                f"  {moment(attempt.started_at, zone)}  {attempt.operation} of"
                f" {for_people(attempt.amount_minor, attempt.currency)} at {attempt.gateway}: {attempt.state}"
                f" ({attempt.code} {attempt.message})".replace(" )", ")")
            )
        click.echo(f"  All of it: defray explain {story.payment.payment_id}")
    for line in ("", *_verdict(batch, findings, agree)):
        click.echo(line)
    for line in _console(running, log_ins):
        click.echo(line)
    return batch.ended and not findings and agree


def _console(running: Running, log_ins: Mapping[str, str]) -> Iterator[str]:
    """Where to look at all this, and as whom."""
    if address := running.addresses.get("Console"):
        yield f"\nThe console: {address}"
        yield from table(("log in as", "with the password"), log_ins.items())


def _watch_batch(at: Office, batch_id: int, check: Callable[[], None]) -> BatchStatus:
    """Show the batch's progress as a bar until all that can be done now is done."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[counts]}"),
        TimeElapsedColumn(),
    )
    moved, before = time.monotonic(), -1
    with Progress(*columns, console=Console(stderr=True)) as progress:
        bar = progress.add_task(f"Batch {batch_id}", total=None, counts="")
        while True:
            check()
            with at.reading() as (conn, _):
                status = views.batch(conn, batch_id, most=0)
            done = status.finished + status.waiting
            counts = ", ".join(f"{state} {count:,}" for state, count in status.by_state.items() if state != "requested")
            progress.update(bar, total=status.payments, completed=done, counts=counts)
            if status.ended:
                return status
            if done != before:
                moved, before = time.monotonic(), done
            elif time.monotonic() - moved > _PATIENCE_SECONDS:
                return status
            time.sleep(_LOOK_EVERY)


class _Sandbox:
    """The gateways' stand-in, where cards go there: asked for what it has in its own books."""

    def __init__(self, running: Running) -> None:
        from sandbox.client import SandboxClient

        address = running.addresses.get("Sandbox", "")
        self.used = bool(address)
        self._client = SandboxClient(address.removesuffix("/sandbox/"))

    def settle(self) -> None:
        """Let the day pass at the gateways: what they charged can be refunded, not voided."""
        self._client.settle()

    def charges(self) -> Mapping[str, Mapping[str, Mapping[str, int]]]:
        """What each gateway says that it charged and gave back."""
        return self._client.charges()


def _void_one(at: Office, batch_id: int, sandbox: _Sandbox, check: Callable[[], None]) -> int | None:
    """Void a settled card payment, so that its refund can be seen; the same one however often this runs."""
    with at.reading() as (conn, _):
        payment_id = views.voided_charge(conn, batch_id)
    if payment_id is None:
        sandbox.settle()
        with at.reading() as (conn, _):
            payment_id = views.posted_charge(conn, batch_id)
        if payment_id is None:
            return None
        with at.transaction() as (conn, now):
            voiding.void(conn, payment_id, "shown by the sample: paid twice", "auto", at.today(now), now, BY)
        at.wake.reversals("void", payment_id)
    end = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < end:
        check()
        with at.reading() as (conn, _):
            status = views.payment(conn, payment_id)
        if status.reversal_state not in _ON_ITS_WAY:
            break
        time.sleep(_LOOK_EVERY)
    return payment_id


def _agrees(ours: AtGateway, theirs: Mapping[str, Mapping[str, Mapping[str, int]]]) -> bool:
    if ours.open:
        return True  # what is not known yet on our side may well stand in theirs
    said = theirs.get(ours.gateway, {}).get(ours.currency, {})
    return (ours.approved, ours.approved_minor) == (said.get("approved", 0), said.get("charged", 0))


def _summary(
    batch: BatchStatus, seen: Overall, theirs: Mapping[str, Mapping[str, Mapping[str, int]]] | None
) -> Iterator[str]:
    yield ""
    yield from table(("payments", "count"), [(state, f"{n:,}") for state, n in batch.by_state.items()], right=(1,))
    yield ""
    for sums in batch.sums:
        yield from table(
            ("sums of the batch", sums.currency),
            [
                ("asked for", for_people(sums.requested_minor, sums.currency)),
                ("posted", for_people(sums.posted_minor, sums.currency)),
                ("  applied to invoices", for_people(sums.applied_minor, sums.currency)),
                ("  left over as credits", for_people(sums.credited_minor, sums.currency)),
            ],
            right=(1,),
        )
    yield ""
    yield from table(
        ("invoices", "count"), [(state, f"{n:,}") for state, n in seen.invoices_by_state.items()], right=(1,)
    )
    if not seen.gateways:
        return
    yield ""
    rows = []
    for ours in seen.gateways:
        said = (theirs or {}).get(ours.gateway, {}).get(ours.currency, {})
        rows.append(
            (
                ours.gateway,
                f"{ours.approved:,}",
                for_people(ours.approved_minor, ours.currency),
                f"{said.get('approved', 0):,}" if theirs else "not asked",
                for_people(said.get("charged", 0), ours.currency) if theirs else "",
                for_people(ours.returned_minor, ours.currency),
                for_people(said.get("voided", 0) + said.get("refunded", 0), ours.currency) if theirs else "",
            )
        )
    head = ("charges at", "ours", "", "theirs", "", "given back, ours", "theirs")
    yield from table(head, rows, right=range(1, 7))


def _verdict(batch: BatchStatus, findings: list[Finding], agree: bool) -> Iterator[str]:
    if not batch.ended:
        left = batch.payments - batch.finished - batch.waiting
        yield f"The batch did not end: {left:,} payments made no progress (`defray status --batch {batch.batch_id}`)."
    elif batch.waiting:
        yield f"The batch has ended for now: {batch.waiting:,} payments wait for their next attempt or a person."
    else:
        yield "The batch has ended."
    if not agree:
        yield "The gateways' own books do not say what ours say: compare the two columns above."
    yield from audit_lines(findings, len(INVARIANTS))
