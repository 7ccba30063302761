"""Running a plan, and making a failing one short."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from sqlalchemy.exc import SQLAlchemyError

from books import inquire, refund, reverse, void
from books.credit import apply_to_invoices
from rules.errors import DefrayError
from tests.simulation.check import Checks
from tests.simulation.plan import Step
from tests.simulation.world import VISA, Ground, World

TICKS: Final = (1, 9, 30, 75, 100, 400, 700, 1_800, 8_000, 30_000, 90_000)
SKEWS: Final = (-180, -150, -30, 30, 150, 180)


@dataclass(frozen=True, slots=True)
class Ran:
    """How a run went: what was wrong (None: nothing), the story, how many steps, which faults met something."""

    wrong: str | None
    story: Sequence[str]
    steps: int
    met: Counter[str]


Twist = Callable[[World], None]


def run(ground: Ground, steps: Sequence[Step], twist: Twist | None = None) -> Ran:
    """Do the steps, checking after each; then switch the faults off, let time pass, and check that all has ended."""
    world = World(ground)
    if twist:
        twist(world)
    checks = Checks(world)
    world.check = checks.after_step
    done = 0
    try:
        for step in steps:
            done += 1
            _ACTS[step.kind](world, step)
            if step.kind not in _QUIET:
                checks.after_step()
            if world.found:
                break
        else:
            done += _come_to_rest(world, checks)
    except (DefrayError, AssertionError) as error:
        world.wrong(f"{type(error).__name__}: {error}")
    except (SQLAlchemyError, RuntimeError, ValueError, TypeError, LookupError) as error:  # what escapes is found
        world.wrong(f"raised {type(error).__name__}: {str(error).splitlines()[0]}")
    finally:
        for worker in world.workers:
            worker.kill()
    return Ran(world.found, world.story, done, world.met)


def shortened(ground: Ground, steps: Sequence[Step], twist: Twist | None = None) -> list[Step]:
    """Leave out whatever is not needed for it to fail by the same rule."""

    def rule(ran: Ran) -> str | None:
        return ran.wrong and ran.wrong.split(":")[0]

    short = list(steps)
    wanted = rule(run(ground, short, twist))
    size = max(1, len(short) // 2)
    while size:
        place = 0
        while place < len(short):
            without = short[:place] + short[place + size :]
            if without and rule(run(ground, without, twist)) == wanted:
                short = without
            else:
                place += size
        size //= 2
    return short


def _come_to_rest(world: World, checks: Checks) -> int:
    """Faults off, everybody works, days pass: until nothing is due for a month."""
    world.faults.clear()
    for worker in world.workers:
        worker.skew, worker.dies_at_commit = timedelta(0), False
    done = 0
    for number, pause in enumerate(_PAUSES):
        done += _work_off(world, checks)
        if world.found:
            return done
        if not _something_is_due(world):
            break
        world.gateway.decide(True)
        world.advance(timedelta(seconds=pause))
        if pause >= 43_200:
            world.gateway.settle()
        if number >= 3:
            _people_look(world)
    checks.at_the_end()
    return done


_PAUSES: Final = [60, 900, 3_600, 43_200] + [86_400] * 4 + [7 * 86_400] * 5
_ALARMED: Final = """
    SELECT DISTINCT p.id FROM payments p JOIN events e ON e.payment_id = p.id AND e.what LIKE 'alarm.%'
    JOIN gateway_transactions t ON t.payment_id = p.id AND t.operation = 'sale' AND t.state IN ('unknown', 'review')
    ORDER BY p.id"""


def _people_look(world: World) -> None:
    """Somebody follows the alarms: asks the gateway's support, and says what it said."""
    for row in world.rows(_ALARMED):
        world.say(f"somebody asks the gateway's support about payment {row.id}")
        _resolve(world, Step("resolve"), row.id)
    for row in world.rows(_ASKED):
        world.say(f"somebody cancels payment {row.id}, which waits for a decision")
        _cancel(world, Step("cancel"), row.id)
    for row in world.rows(_UNANSWERED):
        if row.state == "failed":
            world.say(f"somebody keeps the money of payment {row.id}")
            _keep(world, Step("keep"), row.id)
        else:
            world.say(f"somebody approves the refund of payment {row.id}")
            _approve(world, Step("approve"), row.id)


_ASKED: Final = """
    SELECT p.id FROM payments p WHERE p.state = 'review' AND NOT EXISTS (
        SELECT FROM gateway_transactions t WHERE t.payment_id = p.id AND t.state IN ('started', 'unknown', 'review'))
    ORDER BY p.id"""
_UNANSWERED: Final = """
    SELECT payment_id AS id, state FROM (
        SELECT DISTINCT ON (payment_id) * FROM reversals WHERE purpose = 'void' ORDER BY payment_id, id DESC) AS r
    WHERE state IN ('refund_awaiting_approval', 'failed') ORDER BY 1"""


def _something_is_due(world: World) -> bool:
    [row] = world.rows("""
        SELECT EXISTS (SELECT FROM payments WHERE due_at IS NOT NULL AND next_step IS NOT NULL)
            OR EXISTS (SELECT FROM gateway_transactions WHERE next_step IS NOT NULL)
            OR EXISTS (SELECT FROM reversals WHERE next_step IS NOT NULL) AS due""")
    return bool(row.due)


def _work_off(world: World, checks: Checks) -> int:
    done = 0
    for _ in range(6):
        world.advance(timedelta(seconds=20))
        world.sweep()
        if not world.messages and not any(worker.busy for worker in world.workers):
            break
        while world.messages or any(worker.busy for worker in world.workers):
            for worker in world.workers:
                worker.go_on(0)
                done += 1
                if done > 3_000:
                    world.wrong("liveness: work does not end")
                if world.found:
                    return done
    return done


# ---- the steps ------------------------------------------------------------------------------------------------------


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
        "idempotency_key": f"key-{len(world.keys) + 1}",
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
    world.keys["shop", key] = 0
    try:
        recorded = world.producer.pay(asked, card, caller="shop", by="ann")
    except DefrayError as error:
        world.say(f"refused: {words}: {type(error).__name__}")
        return
    world.keys["shop", key] = recorded.payment_id
    world.asked[recorded.payment_id] = (asked, card)
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
    if any(key[0] == "batch" for key in world.keys):
        return
    world.keys["batch", "b"] = 0
    requests = [
        {
            **_request(world, Step("", step.a + n, 1 + n % 2, step.c), "credit_card"),
            "idempotency_key": f"b-{n}",
            "amount_minor": 500,
            "card_token": world.kept_card(),
        }
        for n in range(5)
    ]
    try:
        world.producer.submit(requests, label="a file", caller="shop", idempotency_key="b", by="ann", skip_bad=True)
    except DefrayError as error:
        world.say(f"refused: a batch: {type(error).__name__}")
        return
    world.say("a file of 5 card payments is imported")


def _again(world: World, step: Step) -> None:
    """R15: the same request once more; or another caller who uses the same key."""
    if not world.asked:
        return
    ids = sorted(world.asked)
    payment_id = ids[step.a % len(ids)]
    asked, card = world.asked[payment_id]
    caller = "shop" if step.b % 2 else "another shop"
    if (caller, asked["idempotency_key"]) in world.keys and caller != "shop":
        return
    try:
        recorded = world.producer.pay(asked, card, caller=caller, by="ann")
    except DefrayError as error:
        world.say(f"{caller} asks again under {asked['idempotency_key']}: {type(error).__name__}")
        if caller == "shop":
            world.wrong(f"R15: the same request under its key was refused: {type(error).__name__}")
        elif type(error).__name__ == "KeyReused":
            world.wrong("R15: a key that another caller used was taken for reused")
        return
    world.say(f"{caller} asks under {asked['idempotency_key']}: payment {recorded.payment_id}")
    if (recorded.payment_id == payment_id) is not (caller == "shop"):
        world.wrong(f"R15: {caller} asked under a key of shop's and got payment {recorded.payment_id}")
    if caller != "shop":
        world.keys[caller, asked["idempotency_key"]] = recorded.payment_id


def _by_clerk(words: str, states: Sequence[str], act: Callable[[World, Step, int], None]) -> Callable[..., None]:
    def clerk(world: World, step: Step) -> None:
        known = ", ".join(f"'{state}'" for state in states)
        ids = [row.id for row in world.rows(f"SELECT id FROM payments WHERE state IN ({known}) ORDER BY id")]
        if not ids:
            return
        payment_id = ids[step.a % len(ids)]
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


def _cancel(world: World, step: Step, payment_id: int) -> None:
    with world.context.transaction() as (conn, now):
        void.cancel(conn, payment_id, "changed my mind", now, "sue")


def _refund(world: World, step: Step, payment_id: int) -> None:
    amount = (500, 1000, None)[step.b % 3]
    with world.context.transaction() as (conn, now):
        refund.ask(conn, payment_id, amount, "goods came back", now, "sue")
    world.context.wake.reversals("refund", payment_id)


def _approve(world: World, step: Step, payment_id: int) -> None:
    with world.context.transaction() as (conn, now):
        reverse.approve(conn, payment_id, world.context.terms.today(now), now, "sue")
    world.context.wake.reversals("refund", payment_id)


def _keep(world: World, step: Step, payment_id: int) -> None:
    with world.context.transaction() as (conn, now):
        reverse.keep(conn, payment_id, "as agreed", bool(step.b % 2), world.context.terms.today(now), now, "sue")
    # Whoever keeps what the gateway may have returned all the same has to look there first.
    world.misled.add(payment_id)


def _resolve(world: World, step: Step, payment_id: int) -> None:
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
        world.misled.add(payment_id)
    with world.context.transaction() as (conn, now):
        inquire.resolve(conn, payment_id, verdict, "asked", world.context.terms, now, "sue")


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


def _settle(world: World, step: Step) -> None:
    world.gateway.settle()


def _decide(world: World, step: Step) -> None:
    world.gateway.decide(bool(step.a % 2))


_QUIET: Final = ("work", "finish", "tick", "fault", "die", "skew", "broker", "settle", "decide", "kill")
"""Steps after which nothing new stands in the tables, or after whose every part was looked already."""
_ACTS: Final[Mapping[str, Callable[[World, Step], None]]] = {
    "work": _work,
    "finish": _finish,
    "sweep": _sweep,
    "tick": _tick,
    "pay_card": lambda world, step: _pay(world, step, "credit_card"),
    "pay_check": lambda world, step: _pay(world, step, "check"),
    "batch": _batch,
    "again": _again,
    "void": _by_clerk("void", ("posted",), _void),
    "cancel": _by_clerk("cancel", ("requested", "charging", "retrying", "review"), _cancel),
    "refund": _by_clerk("refund a part of", ("posted",), _refund),
    "approve": _by_clerk("approve the refund of", ("voided",), _approve),
    "keep": _by_clerk("keep the money of", ("voided",), _keep),
    "resolve": _by_clerk("resolve", ("charging", "review"), _resolve),
    "credit": _credit,
    "fault": _fault,
    "kill": _kill,
    "die": _die,
    "skew": _skew,
    "broker": _broker,
    "settle": _settle,
    "decide": _decide,
}
