"""Running a plan, and making a failing one short."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from sqlalchemy.exc import SQLAlchemyError

from rules.errors import DefrayError
from tests.simulation import acts, restored
from tests.simulation.check import Checks
from tests.simulation.plan import Step
from tests.simulation.world import Ground, World


@dataclass(frozen=True, slots=True)
class Ran:
    """How a run went: what was wrong (None: nothing), the story, how many steps, which faults met something."""

    wrong: str | None
    story: Sequence[str]
    steps: int
    met: Counter[str]


Twist = Callable[[World], None]


def run(ground: Ground, steps: Sequence[Step], twist: Twist | None = None, seed: int = 0) -> Ran:
    """Do the steps, checking after each; then switch the faults off, let time pass, and check that all has ended."""
    world = World(ground, seed)
    if twist:
        twist(world)
    checks = Checks(world)
    world.check = checks.after_step
    done = 0
    try:
        for step in steps:
            done += 1
            acts.ACTS[step.kind](world, step)
            if step.kind not in acts.QUIET:
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


def shortened(ground: Ground, steps: Sequence[Step], twist: Twist | None = None, seed: int = 0) -> list[Step]:
    """Leave out whatever is not needed for it to fail by the same rule."""

    def rule(ran: Ran) -> str | None:
        return ran.wrong and ran.wrong.split(":")[0]

    short = list(steps)
    wanted = rule(run(ground, short, twist, seed))
    size = max(1, len(short) // 2)
    while size:
        place = 0
        while place < len(short):
            without = short[:place] + short[place + size :]
            if without and rule(run(ground, without, twist, seed)) == wanted:
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
        if not _something_is_due(world) and not world.quarantined():
            break
        world.gateway.decide(True)
        world.advance(timedelta(seconds=pause))
        if pause >= 43_200:
            world.gateway.settle()
        if number >= 3:
            _people_look(world)
        if world.restored:
            restored.bring_up_to_date(world)
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
        acts.resolve(world, Step("resolve"), row.id)
    for row in world.rows(_UNSURE_REFUNDS):
        made = row.reference in world.gateway.by_reference
        world.say(f"support says that a refund of payment {row.id} was {'' if made else 'not '}made")
        acts.resolve_refund(world, row.id, row.amount_minor, made)
    for row in world.rows(_ASKED):
        world.say(f"somebody cancels payment {row.id}, which waits for a decision")
        acts.cancel(world, Step("cancel"), row.id)
    for row in world.rows(_UNANSWERED):
        if row.state == "failed":
            world.say(f"somebody keeps the money of payment {row.id}")
            acts.keep(world, Step("keep"), row.id)
        else:
            world.say(f"somebody approves the refund of payment {row.id}")
            acts.approve(world, Step("approve"), row.id)


_UNSURE_REFUNDS: Final = """
    SELECT r.payment_id AS id, r.amount_minor, t.reference FROM reversals r
    JOIN gateway_transactions t ON t.reversal_id = r.id AND t.operation = 'refund' AND t.state IN ('started', 'unknown')
    WHERE r.state = 'refunding' AND r.next_step = 'watch' AND r.asked > 5 ORDER BY r.id"""
_ASKED: Final = """
    SELECT p.id FROM payments p WHERE p.state = 'review' AND NOT EXISTS (
        SELECT FROM gateway_transactions t WHERE t.payment_id = p.id AND t.state IN ('started', 'unknown', 'review'))
    ORDER BY p.id"""
_UNANSWERED: Final = """
    SELECT payment_id AS id, state FROM (
        SELECT DISTINCT ON (payment_id) * FROM reversals WHERE purpose = 'void'
        ORDER BY payment_id, state IN ('refund_awaiting_approval', 'failed') DESC, id DESC) AS r
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
