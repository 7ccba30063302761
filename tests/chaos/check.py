"""What must be true when the faults are over: all comes to rest, and the books are the gateways' own."""

from __future__ import annotations

import json
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from click.testing import CliRunner

from cli.main import defray
from tests.chaos.load import Acknowledged, Load
from tests.chaos.site import GATEWAYS, Site

HORIZON: Final = timedelta(minutes=90)
"""How far the clock is moved for what waits: what is due later has its next step, and that does."""

_MOVING: Final = """
    SELECT * FROM (
        SELECT 'payment' AS what, id, state, next_step, due_at FROM payments
        WHERE state = 'requested' OR state = 'retrying' AND due_at <= :now
        UNION ALL
        SELECT operation, id, state, next_step, due_at FROM gateway_transactions WHERE state IN ('started', 'unknown')
        UNION ALL
        SELECT 'reversal', id, state, next_step, due_at FROM reversals
        WHERE state IN ('voiding', 'refund_due', 'refunding')) AS moving
    WHERE due_at < :horizon OR due_at IS NULL ORDER BY what, id"""


def come_to_rest(site: Site, patience: float) -> float:
    """Wait until nothing is under way, bringing nearer what waits; how many seconds the clock was moved.

    Raises AssertionError where nothing changed for so many seconds, with what is stuck.
    """
    began = _now(site)
    known: list[Any] = []
    changed = time.monotonic()
    moved = timedelta(0)
    while True:
        site.tend()
        now = _now(site)
        moving = site.rows(_MOVING, now=now, horizon=began + HORIZON)
        if not moving:
            return moved.total_seconds()
        if moving != known:
            known, changed = moving, time.monotonic()
        stuck = [f"{one.what} {one.id} {one.state} {one.next_step} {one.due_at}" for one in moving[:10]]
        assert time.monotonic() - changed < patience, f"{len(moving)} are stuck at {now}: {stuck}"
        wait = min((one.due_at for one in moving if one.due_at), default=now) - now
        if wait > timedelta(seconds=site.size.lease + 1):
            site.do("UPDATE clock SET ahead = ahead + :wait", wait=wait)
            site.sandbox.client.advance(wait.total_seconds())
            moved += wait
        site.sweep()
        time.sleep(0.3)


def _now(site: Site) -> datetime:
    found: datetime = site.rows("SELECT now() + ahead AS now FROM clock")[0].now
    return found


@dataclass(frozen=True, slots=True)
class Charged:
    """Of one payment at one gateway: charges, those not voided since, and what was refunded."""

    charges: int = 0
    standing: int = 0
    refunded: int = 0


def wrong(site: Site, load: Load) -> Iterator[str]:
    """All that is wrong, in words."""
    yield from _one_charge(site)
    yield from _nothing_without_a_next_step(site)
    yield from _kept_word(site, load.acknowledged)
    yield from _audit(site)
    yield from _reconcile(site)
    yield from _audit(site)


# ---- one charge


def _one_charge(site: Site) -> Iterator[str]:
    ours, theirs = _ours(site), _theirs(site)
    for (gateway, amount), there in sorted(theirs.items()):
        here = ours.get((gateway, amount), Charged())
        if there.standing > 1:
            yield f"one charge: the card of the payment of {amount} was charged {there.standing} times at {gateway}"
        if there != here:
            yield f"the payment of {amount}: {gateway} has {there}, the books have {here}"
    for missing in sorted(ours.keys() - theirs.keys()):
        yield f"the payment of {missing[1]}: the books have {ours[missing]}, {missing[0]} has nothing"
    standing = Counter(amount for (_, amount), there in theirs.items() for _ in range(there.standing))
    states = {row.total_minor: row.state for row in site.rows("SELECT total_minor, state FROM payments")}
    for amount, times in standing.items():
        if times > 1:
            yield f"one charge: the card of the payment of {amount} was charged {times} times, at several gateways"
        if states.get(amount) not in ("posted", "voided", "review"):
            yield f"the payment of {amount} is {states.get(amount)}, and its card was charged"


_OURS: Final = """
    SELECT t.gateway, p.total_minor AS amount, count(*) AS charges,
           count(*) FILTER (WHERE NOT EXISTS (
               SELECT FROM reversals r WHERE r.sale_id = t.id AND r.state = 'voided')) AS standing,
           coalesce(sum((SELECT sum(r.amount_minor) FROM reversals r
                         WHERE r.sale_id = t.id AND r.state IN ('refund_accepted', 'refunded'))), 0) AS refunded
    FROM gateway_transactions t JOIN payments p ON p.id = t.payment_id
    WHERE t.operation = 'sale' AND t.state IN ('approved', 'surplus') GROUP BY 1, 2"""


def _ours(site: Site) -> dict[tuple[str, int], Charged]:
    return {
        (row.gateway, row.amount): Charged(row.charges, row.standing, int(row.refunded)) for row in site.rows(_OURS)
    }


_APPROVED: Final = frozenset({"approved", "settling", "settled", "voided"})


def _theirs(site: Site) -> dict[tuple[str, int], Charged]:
    booked = site.sandbox.client.transactions()
    sales = {(one.gateway, one.id): one for one in booked if one.operation in ("sale", "capture")}
    refunded: dict[tuple[str, str], int] = defaultdict(int)
    for one in booked:
        if one.operation == "refund" and one.state in _APPROVED - {"voided"}:
            refunded[one.gateway, one.original] += one.amount
    found: dict[tuple[str, int], Charged] = {}
    for key, sale in sales.items():
        if sale.state in _APPROVED:
            so_far = found.get((sale.gateway, sale.amount), Charged())
            found[sale.gateway, sale.amount] = Charged(
                so_far.charges + 1, so_far.standing + (sale.state != "voided"), so_far.refunded + refunded.pop(key, 0)
            )
    for gateway, original in refunded:
        raise AssertionError(f"{gateway} refunded {original}, which it had not charged")
    return found


# ---- nothing lost

_WITHOUT: Final = """
    SELECT 'payment' AS what, p.id, p.state FROM payments p
    WHERE p.next_step IS NULL AND (p.state IN ('requested', 'charging', 'retrying') AND NOT EXISTS (
            SELECT FROM gateway_transactions t WHERE t.payment_id = p.id AND t.next_step IS NOT NULL)
        OR p.state = 'review' AND p.reason = '')
    UNION ALL
    SELECT t.operation, t.id, t.state FROM gateway_transactions t
    WHERE t.next_step IS NULL AND t.state IN ('started', 'unknown')
    UNION ALL
    SELECT 'reversal', r.id, r.state FROM reversals r
    WHERE r.next_step IS NULL AND r.state IN ('voiding', 'refund_due', 'refunding', 'refund_accepted')"""


def _nothing_without_a_next_step(site: Site) -> Iterator[str]:
    for row in site.rows(_WITHOUT):
        yield f"{row.what} {row.id} is {row.state}, and has no next step"


# A payment of which all was refunded is voided without a reversal: nothing is left to return.
_VOIDED: Final = """
    SELECT payment_id FROM reversals WHERE purpose = 'void'
    UNION SELECT id FROM payments WHERE state = 'voided'"""


def _kept_word(site: Site, acknowledged: list[Acknowledged]) -> Iterator[str]:
    """What the API said that it had taken is in the books."""
    payments = {row.id for row in site.rows("SELECT id FROM payments")}
    voided = {row.payment_id for row in site.rows(_VOIDED)}
    refunds = Counter(row.payment_id for row in site.rows("SELECT payment_id FROM reversals WHERE purpose = 'refund'"))
    asked = Counter(one.payment_id for one in acknowledged if one.verb == "refund")
    for one in acknowledged:
        if one.payment_id not in payments:
            yield f"the API took payment {one.payment_id} ({one.key}), and it is lost"
        if one.verb == "void" and one.payment_id not in voided:
            yield f"the API took the void of payment {one.payment_id} ({one.key}), and it is lost"
    for payment_id, times in asked.items():
        if refunds[payment_id] != times:
            yield f"the API took {times} refunds of payment {payment_id}, and the books have {refunds[payment_id]}"


# ---- the commands


def _audit(site: Site) -> Iterator[str]:
    code, said = _defray(site, "audit", "--json")
    if code:
        yield from (f"audit: {one['sentence']}" for one in said["findings"])


def _reconcile(site: Site) -> Iterator[str]:
    client, now = site.sandbox.client, _now(site)
    client.settle()
    for gateway in GATEWAYS:
        report = site.folder / f"{gateway}-{now:%H%M%S}.csv"
        report.write_bytes(client.report(gateway))
        begins, ends = (f"{now + timedelta(days=days):%Y-%m-%dT%H:%M:%S+00:00}" for days in (-2, 1))
        span = ("--from", begins, "--to", ends)
        code, said = _defray(
            site, "reconcile", gateway, str(report), *span, "--margin", "0", "--apply", "--yes", "--json"
        )
        for one in said["differences"]:
            if one["became"] is None:
                yield f"reconcile {gateway}: {one}"
            elif one["kind"] != "refund":  # that an accepted refund is final is news; a charge that it proves is not
                yield f"reconcile {gateway}: known by the report alone: {one}"
        if code and not said["differences"]:
            yield f"reconcile {gateway}: {said}"


def _defray(site: Site, *words: str) -> tuple[int, Any]:
    """A command of `defray`: its exit code and what it said."""
    done = CliRunner().invoke(defray, words, env=site.environment)
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, json.loads(done.stdout)
