"""What people do after a restore (docs/restore.md): read the gateway's report, take in what is missing, release."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

from sqlalchemy import Connection

from books import adopt, epoch, reconcile, void
from books.reconcile import Source
from rules.errors import MoveRefused, RequestRefused
from rules.reconciling import Kind, State
from tests.simulation.world import World

_LEFT: Final = """
    SELECT l.*, p.caller, p.idempotency_key FROM report_lines l LEFT JOIN payments p ON p.id = l.payment_id
    WHERE l.report_id = :report AND l.applied_at IS NULL AND l.finding IN ('missing_here', 'differs') ORDER BY l.line"""
_ENDED: Final = "SELECT FROM payments WHERE id = :id AND state IN ('cancelled', 'declined')"
_CHARGED: Final = "SELECT FROM payments WHERE id = :id AND charged_minor IS NOT NULL"
_VISIT: Final = timedelta(hours=3)


def bring_up_to_date(world: World) -> None:
    """One visit: what cannot be told yet is left for the next one; released once nothing is missing here."""
    if not world.quarantined():
        return
    world.met["quarantine: a person reconciles"] += 1
    world.advance(_VISIT)  # what was under way when it was restored has arrived or is lost
    world.gateway.decide(True)
    world.gateway.settle()
    report = _read(world)
    for line in world.rows(_LEFT, report=report):
        try:
            _take_in(world, report, line)
        except MoveRefused as error:
            world.say(f"line {line.line} of the report has to wait: {error}")
    with world.context.transaction() as (conn, _):
        left = adopt.what_is_open(conn, ["payflow"], _since(conn))
    if left:
        world.say(f"the quarantine goes on: {'; '.join(left)}")
        return
    world.release()
    world.met["quarantine: released"] += 1
    world.say("sue releases the quarantine")


def _since(conn: Connection) -> Any:
    found = epoch.current(conn)
    assert found is not None
    return found.since


def _read(world: World) -> int:
    lines = world.gateway.report()
    source = Source("payflow", f"{world.now.timestamp():.0f}", "report", None, None, timedelta(hours=1), timedelta(0))
    terms = world.context.terms
    with world.context.transaction() as (conn, now):
        report = reconcile.read(conn, source, lines, now, "sue").report_id
        reconcile.apply_sales(conn, report, 500, terms, now, "sue")
        reconcile.apply_refunds(conn, report, 500, terms, now, "sue")
        for pair in adopt.pairs(conn, report):
            adopt.as_payment(conn, report, pair.line, pair.payment_id, terms, now, "sue", "fits it alone")
            # Where another asked for the same at the same time, that one has no charge now: all is charged once, still.
            world.owners[lines[pair.line - 1].reference or 0] = world.key_of(pair.payment_id)
            world.say(f"line {pair.line} of the report is the charge of payment {pair.payment_id}")
    return report


def _take_in(world: World, report: int, line: Any) -> None:
    terms = world.context.terms
    if line.kind == Kind.REFUND:
        _take_in_refund(world, report, line)
        return
    if line.finding == "differs":
        if line.state == State.VOIDED and line.ours_state == "approved":
            with world.context.transaction() as (conn, now):
                void.void(conn, line.payment_id, "voided there", "auto", terms.today(now), now, "sue")
            world.say(f"payment {line.payment_id} is voided, as it is at the gateway")
        return
    key = world.owners[line.reference]
    asked, _ = world.requests[key]
    if world.payments.get(key) and world.rows(_ENDED, id=world.payments[key]):
        world.gateway.give_back(line.reference)
        with world.context.transaction() as (conn, now):
            adopt.given_back(conn, report, line.line, now, "sue", "its payment has ended here")
        world.say(f"line {line.line} of the report is given back at the gateway: its payment has ended here")
        return
    with world.context.transaction() as (conn, now):
        if world.payments.get(key):
            adopt.as_payment(conn, report, line.line, world.payments[key], terms, now, "sue", "asked the shop")
        else:
            told = adopt.NewPayment(asked["customer"], asked.get("invoices", ()), *key, last_four="1111")
            adopt.as_new_payment(conn, report, line.line, told, terms, now, "sue", "asked the shop")
    if not world.payments.get(key):
        world.adopted.add(key)
        [row] = world.rows("SELECT id FROM payments WHERE (caller, idempotency_key) = (:c, :k)", c=key[0], k=key[1])
        world.payments[key] = row.id
    world.say(f"line {line.line} of the report is the charge of payment {world.payments[key]} ({key[1]})")


def _take_in_refund(world: World, report: int, line: Any) -> None:
    """As the refund of its payment, where the books have that as charged; else a person records it by hand.

    Some always do that: what is due here all the same must not be sent then, either.
    """
    key = world.owners[line.reference]
    payment_id = world.payments.get(key, 0)
    if line.finding == "missing_here" and not world.careless and world.rows(_CHARGED, id=payment_id):
        try:
            with world.context.transaction() as (conn, now):
                adopt.as_refund(conn, report, line.line, payment_id, world.context.terms, now, "sue", "as it says")
        except (MoveRefused, RequestRefused) as error:
            world.say(f"line {line.line} of the report is no refund that payment {payment_id} has left: {error}")
        else:
            world.say(f"line {line.line} of the report is a refund of payment {payment_id}")
            return
    world.by_hand.add(key)
    if line.finding == "missing_here":
        with world.context.transaction() as (conn, now):
            adopt.given_back(conn, report, line.line, now, "sue", "recorded by hand")
    world.say(f"line {line.line} of the report is a refund: to be recorded by hand")
