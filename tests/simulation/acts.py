"""The steps of a plan: what workers, the broker, the clock, clerks and the gateway do when their turn comes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

from books import inquire, refund, reverse, void
from books.credit import apply_to_invoices
from rules.errors import DefrayError
from tests.simulation import restored
from tests.simulation.plan import Step
from tests.simulation.world import VISA, World

TICKS: Final = (1, 9, 30, 75, 100, 400, 700, 1_800, 8_000, 30_000, 90_000)
SKEWS: Final = (-180, -150, -30, 30, 150, 180)


def _work(world: World, step: Step) -> None:
    world.workers[step.a % len(world.workers)].go_on(step.b)


def _finish(world: World, step: Step) -> None:
    worker = world.workers[step.a % len(world.workers)]
    for _ in range(60):
        worker.go_on(0)
        if not worker.busy:
            return


def _sweep(world: World, step: Step) -> None:
    world.sweep()


def _tick(world: World, step: Step) -> None:
    by = timedelta(seconds=TICKS[step.a % len(TICKS)])
    world.advance(by)
    world.say(f"{by} pass")


def _invoices(step: Step) -> list[dict[str, str]]:
    return [[], [{"number": "A"}], [{"number": "B"}], [{"number": "C"}], [{"number": "A"}, {"number": "B"}]][step.b % 5]


def _request(world: World, step: Step, method: str) -> dict[str, Any]:
    customer = f"C-{1 + (step.a % 2)}"
    amount = (1000, 3000, 5000, 8000, 9000)[step.c % 5]
    asked: dict[str, Any] = {
        "idempotency_key": f"key-{len(world.requests) + 1}",
        "method": method,
        "currency": "USD",
        "customer": customer,
        "amount_minor": amount,
    }
    if numbers := [one["number"] for one in _invoices(step)]:
        asked["invoices"] = numbers
    if step.a % 9 == 0:
        asked["allow_overlap"] = True
    if step.c % 7 == 0:
        asked["when_owed_less"] = ("charge_reduced", "charge_all")[step.a % 2]
    return asked


def _pay(world: World, step: Step, method: str) -> None:
    asked = _request(world, step, method)
    key = asked["idempotency_key"]
    words = f"{asked['customer']} pays {asked['amount_minor']} by {method} for {asked.get('invoices', 'all')} ({key})"
    card = VISA if method == "credit_card" else None
    world.requests["shop", key] = asked, card
    try:
        recorded = world.producer.pay(asked, card, caller="shop", by="ann")
    except DefrayError as error:
        world.say(f"refused: {words}: {type(error).__name__}")
        return
    world.payments["shop", key] = recorded.payment_id
    world.say(f"{words}: payment {recorded.payment_id}")
    _promised(world, recorded.payment_id)


_PROMISED: Final = """
    SELECT i.id, i.balance_minor, sum(least(p.total_minor, i.balance_minor)) AS promised
    FROM payments n JOIN invoices i ON i.customer_id = n.customer_id AND n.invoice_ids = ARRAY[i.id]
    JOIN payments p ON p.invoice_ids = n.invoice_ids AND p.gateway IS NOT NULL
     AND p.state IN ('requested', 'charging', 'retrying', 'review')
    WHERE n.id = :id AND n.gateway IS NOT NULL AND NOT n.allow_overlap GROUP BY 1, 2 HAVING count(*) > 1"""


def _promised(world: World, payment_id: int) -> None:
    """R8a: what was just let in fits beside the card payments under way for the very same invoice."""
    for row in world.rows(_PROMISED, id=payment_id):
        if row.promised > row.balance_minor:
            world.wrong(f"R8a: {row.promised} is under way for an invoice that owes {row.balance_minor}")


def _batch(world: World, step: Step) -> None:
    if ("shop", "b-0") in world.requests:
        return
    requests = [
        {
            **_request(world, Step("", step.a, step.b, step.c), "credit_card"),
            "idempotency_key": f"b-{n}",
            "amount_minor": 500,
            "card_token": world.kept_card(),
        }
        for n in range(5)
    ]
    for asked in requests:
        world.requests["shop", asked["idempotency_key"]] = asked, None
    try:
        world.producer.submit(requests, label="a file", caller="shop", idempotency_key="b", by="ann", skip_bad=True)
    except DefrayError as error:
        world.say(f"refused: a batch: {type(error).__name__}")
        return
    for row in world.rows("SELECT id, caller, idempotency_key FROM payments WHERE batch_id IS NOT NULL ORDER BY id"):
        world.payments[row.caller, row.idempotency_key] = row.id
    world.say("a file of 5 card payments is imported")


def _again(world: World, step: Step) -> None:
    """R15: the same request once more; or another caller who uses the same key."""
    known = sorted(key for key in world.payments if key[0] == "shop" and not key[1].startswith("b-"))
    if not known:
        return
    key = known[step.a % len(known)]
    asked, card = world.requests[key]
    caller = "shop" if step.b % 2 else "another shop"
    if caller != "shop" and (caller, key[1]) in world.payments:
        return
    before = world.payments[key]
    try:
        recorded = world.producer.pay(asked, card, caller=caller, by="ann")
    except DefrayError as error:
        name = type(error).__name__
        world.say(f"{caller} asks again under {key[1]}: {name}")
        if caller == "shop" and before and key not in world.adopted:
            world.wrong(f"R15: the same request under its key was refused: {name}")
        elif caller != "shop" and name == "KeyReused":
            world.wrong("R15: a key that another caller used was taken for reused")
        return
    world.say(f"{caller} asks under {key[1]}: payment {recorded.payment_id}")
    if caller == "shop":
        if before not in (0, recorded.payment_id):
            world.wrong(f"R15: shop asked again for payment {before} and got payment {recorded.payment_id}")
    elif recorded.payment_id in world.payments.values():
        world.wrong(f"R15: {caller} asked under a key of shop's and got payment {recorded.payment_id}")
    world.requests[caller, key[1]] = asked, card
    world.payments[caller, key[1]] = recorded.payment_id


def _by_clerk(words: str, states: Sequence[str], act: Callable[[World, Step, int], None]) -> Callable[..., None]:
    def clerk(world: World, step: Step) -> None:
        known = ", ".join(f"'{state}'" for state in states)
        ids = [row.id for row in world.rows(f"SELECT id FROM payments WHERE state IN ({known}) ORDER BY id")]
        if not ids:
            return
        payment_id = ids[step.a % len(ids)]
        if world.key_of(payment_id) in world.by_hand:
            return
        try:
            act(world, step, payment_id)
        except DefrayError as error:
            world.say(f"the clerk may not {words} payment {payment_id}: {type(error).__name__}")
        else:
            world.say(f"the clerk does: {words} payment {payment_id}")

    return clerk


def _void(world: World, step: Step, payment_id: int) -> None:
    policy = ("auto", "auto", "ask")[step.b % 3]
    with world.context.transaction() as (conn, now):
        void.void(conn, payment_id, "wrong", policy, world.context.terms.today(now), now, "sue")
    world.context.wake.reversals("void", payment_id)


def cancel(world: World, step: Step, payment_id: int) -> None:
    with world.context.transaction() as (conn, now):
        void.cancel(conn, payment_id, "changed my mind", now, "sue")


def _refund(world: World, step: Step, payment_id: int) -> None:
    amount = (500, 1000, None)[step.b % 3]
    with world.context.transaction() as (conn, now):
        refund.ask(conn, payment_id, amount, "goods came back", now, "sue")
    world.context.wake.reversals("refund", payment_id)


_ASKED_FOR: Final = """
    SELECT id, started_at FROM reversals WHERE payment_id = :id AND purpose = 'void'
    ORDER BY state IN ('refund_awaiting_approval', 'failed') DESC, id DESC LIMIT 1"""


def approve(world: World, step: Step, payment_id: int) -> None:
    asked_for = [(row.id, row.started_at) for row in world.rows(_ASKED_FOR, id=payment_id)]
    there = (one for one in world.gateway.books if one.operation == "refund" and not one.undone)
    if any(world.returns.get(one.reference) in asked_for for one in there):
        world.say(f"somebody sees at the gateway that payment {payment_id} was refunded already")
        return
    with world.context.transaction() as (conn, now):
        reverse.approve(conn, payment_id, world.context.terms.today(now), now, "sue")
    world.by_word.add(world.key_of(payment_id))
    world.context.wake.reversals("refund", payment_id)


def keep(world: World, step: Step, payment_id: int) -> None:
    with world.context.transaction() as (conn, now):
        reverse.keep(conn, payment_id, "as agreed", bool(step.b % 2), world.context.terms.today(now), now, "sue")
    # Whoever keeps what the gateway may have returned all the same has to look there first.
    world.misled.add(world.key_of(payment_id))


def resolve(world: World, step: Step, payment_id: int) -> None:
    """A person says what became of a charge: as the gateway's books have it now, which may yet change."""
    sales = world.rows(
        "SELECT reference FROM gateway_transactions WHERE payment_id = :id AND operation = 'sale'"
        " AND state IN ('unknown', 'review')",
        id=payment_id,
    )
    if not sales:
        return
    booked = world.gateway.by_reference.get(sales[0].reference)
    verdict = "approved" if booked is not None and booked.charged else "not_made"
    if step.b % 2:
        verdict = "not_made"  # people err
    if verdict == "not_made":
        world.misled.add(world.key_of(payment_id))
    with world.context.transaction() as (conn, now):
        inquire.resolve(conn, payment_id, verdict, "asked", world.context.terms, now, "sue")


def resolve_refund(world: World, payment_id: int, amount_minor: int, made: bool) -> None:
    """A person says what became of a refund: as the gateway's books have it."""
    with world.context.transaction() as (conn, now):
        reverse.resolve(conn, payment_id, made, amount_minor, "asked", world.context.terms, now, "sue")


def _credit(world: World, step: Step) -> None:
    for row in world.rows("SELECT id FROM customers ORDER BY id"):
        with world.context.transaction() as (conn, now):
            today = world.context.terms.today(now)
            if apply_to_invoices(conn, row.id, "USD", None, today, now, "sue"):
                world.say(f"the clerk applies the credit of customer {row.id}")


def _fault(world: World, step: Step) -> None:
    world.arm(*step.word.split(":"))


def _kill(world: World, step: Step) -> None:
    world.workers[step.a % len(world.workers)].kill()


def _die(world: World, step: Step) -> None:
    world.workers[step.a % len(world.workers)].dies_at_commit = True


def _skew(world: World, step: Step) -> None:
    worker = world.workers[step.a % len(world.workers)]
    worker.skew = timedelta(minutes=SKEWS[step.b % len(SKEWS)])
    world.say(f"the clock of {worker.name} is off by {SKEWS[step.b % len(SKEWS)]} minutes")
    world.met["clock of a worker is off"] += 1


def _broker(world: World, step: Step) -> None:
    if not world.messages:
        return
    match step.a % 3:
        case 0:
            world.messages.clear()
            world.met["broker flushed"] += 1
            world.say("the broker is flushed")
        case 1:
            world.messages.append(world.messages[step.b % len(world.messages)])
            world.met["message doubled"] += 1
        case 2:
            world.messages.pop(step.b % len(world.messages))
            world.met["message lost"] += 1


def _back_up(world: World, step: Step) -> None:
    world.back_up()


def _restore(world: World, step: Step) -> None:
    world.restore()
    if step.a % 3 == 0:
        world.messages.clear()


def _release(world: World, step: Step) -> None:
    restored.bring_up_to_date(world)


def _settle(world: World, step: Step) -> None:
    world.gateway.settle()


def _decide(world: World, step: Step) -> None:
    world.gateway.decide(bool(step.a % 2))


QUIET: Final = ("work", "finish", "tick", "fault", "die", "skew", "broker", "settle", "decide", "kill", "back_up")
"""Steps after which nothing new stands in the tables, or after whose every part was looked already."""
ACTS: Final[Mapping[str, Callable[[World, Step], None]]] = {
    "work": _work,
    "finish": _finish,
    "sweep": _sweep,
    "tick": _tick,
    "pay_card": lambda world, step: _pay(world, step, "credit_card"),
    "pay_check": lambda world, step: _pay(world, step, "check"),
    "batch": _batch,
    "again": _again,
    "void": _by_clerk("void", ("posted",), _void),
    "cancel": _by_clerk("cancel", ("requested", "charging", "retrying", "review"), cancel),
    "refund": _by_clerk("refund a part of", ("posted",), _refund),
    "approve": _by_clerk("approve the refund of", ("voided",), approve),
    "keep": _by_clerk("keep the money of", ("voided",), keep),
    "resolve": _by_clerk("resolve", ("charging", "review"), resolve),
    "credit": _credit,
    "fault": _fault,
    "kill": _kill,
    "die": _die,
    "skew": _skew,
    "broker": _broker,
    "settle": _settle,
    "decide": _decide,
    "back_up": _back_up,
    "restore": _restore,
    "release": _release,
}
