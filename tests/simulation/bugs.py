"""Deliberate bugs: each a patch of the real source that must apply, and the rule by whose breach it is found."""

from __future__ import annotations

import inspect
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from types import FunctionType, ModuleType
from typing import Any, Final

from sqlalchemy import TextClause, text

from books import admit, adopt, apart, charge, outcome, record, reverse, sweep, void
from books import epoch as books_epoch
from books import inquire as inquiries
from rules import refunding, reversal
from tasks import charge as charge_task
from tests.simulation.plan import KNOWN_SEEDS, plan
from tests.simulation.run import run
from tests.simulation.world import Ground, World


@dataclass(frozen=True, slots=True)
class Patch:
    """`new` instead of `old` in a function's source or in the SQL of a constant; `old` must be there once."""

    module: ModuleType
    name: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Bug:
    """What is wrong, which rule it breaks, and how to bring it about.

    It must be found `within` so many seeds from `first` on.
    """

    name: str
    rule: str
    patches: tuple[Patch, ...] = ()
    ddl: tuple[str, str] | None = None
    twist: Callable[[World], None] | None = None
    within: int = 200
    first: int = 1


class DoesNotApplyError(AssertionError):
    """The source has changed: the bug must be written anew."""


@contextmanager
def planted(bug: Bug, ground: Ground) -> Iterator[None]:
    """The product with this bug. Raises DoesNotApplyError."""
    with ExitStack() as stack:
        by_function: dict[tuple[str, str], list[Patch]] = {}
        for patch in bug.patches:
            by_function.setdefault((patch.module.__name__, patch.name), []).append(patch)
        for patches in by_function.values():
            stack.enter_context(_patched(patches))
        if bug.ddl:
            stack.enter_context(_ddl(ground, *bug.ddl))
        yield


@contextmanager
def _ddl(ground: Ground, there: str, back: str) -> Iterator[None]:
    with ground.engine.begin() as conn:
        conn.execute(text(there))
    try:
        yield
    finally:
        ground.clear(0)
        with ground.engine.begin() as conn:
            conn.execute(text(back))


@contextmanager
def _patched(patches: list[Patch]) -> Iterator[None]:
    first = patches[0]
    before = _found(first)
    after = _mutated(before, patches)
    owner, _, attribute = first.name.rpartition(".")
    if owner:
        setattr(getattr(first.module, owner), attribute, after)
    holders = [] if owner else _holders(before)
    for module, name in holders:
        setattr(module, name, after)
    try:
        yield
    finally:
        if owner:
            setattr(getattr(first.module, owner), attribute, before)
        for module, name in holders:
            setattr(module, name, before)


def _found(patch: Patch) -> Any:
    thing: Any = patch.module
    for part in patch.name.split("."):
        thing = inspect.getattr_static(thing, part)
    return thing


def _holders(thing: object) -> list[tuple[ModuleType, str]]:
    return [
        (module, name)
        for module in list(sys.modules.values())
        if isinstance(module, ModuleType)
        for name, value in list(vars(module).items())
        if value is thing
    ]


def _mutated(before: Any, patches: list[Patch]) -> Any:
    if isinstance(before, TextClause):
        return text(_replaced(str(before), patches))
    function = before.fget if isinstance(before, property) else before
    assert isinstance(function, FunctionType)
    source = _replaced(textwrap.dedent(inspect.getsource(function)), patches)
    made: dict[str, Any] = {}
    exec(compile("from __future__ import annotations\n" + source, "<bug>", "exec"), function.__globals__, made)
    return made[function.__name__]


def _replaced(source: str, patches: list[Patch]) -> str:
    for patch in patches:
        if source.count(patch.old) != 1:
            raise DoesNotApplyError(
                f"{patch.module.__name__}.{patch.name}: {patch.old!r} stands there {source.count(patch.old)} times"
            )
        source = source.replace(patch.old, patch.new)
    return source


def _own_clocks(world: World) -> None:
    """Workers compare leases with their own clocks."""
    world.workers_now = lambda _: world.own_clock()


def hunt(ground: Ground, bug: Bug) -> tuple[int, str] | None:
    """The first seed that finds the bug, and what it says; None where none does within the stated number."""
    with planted(bug, ground):
        for seed in range(bug.first, bug.first + bug.within):
            ran = run(ground, plan(seed), bug.twist, seed)
            if ran.wrong:
                return seed, ran.wrong
    return None


BUGS: Final = (
    Bug(
        "absence frees a new reference",
        "E4: one charge",
        (
            Patch(
                inquiries,
                "_found",
                "case Found(outcome=Unknown()) | Absent() | NoAnswer():",
                "case Absent():\n            return Failed(FailureClass.NOT_SENT, 'absent')\n"
                "        case Found(outcome=Unknown()) | NoAnswer():",
            ),
        ),
    ),
    Bug(
        "the reference is derived from ids",
        "E2",
        (
            Patch(
                charge, "_start", "[draw_reference() for _ in charges]", "[10**18 + p.customer_id for p, _ in charges]"
            ),
        ),
    ),
    Bug(
        "a late approval after `failed` is dropped",
        "E4: the gateway's books",
        (
            Patch(
                outcome,
                "_judge",
                "state in {states.Transaction.DECLINED, states.Transaction.FAILED}:",
                "False:",
            ),
        ),
        first=KNOWN_SEEDS + 1,
    ),
    Bug(
        "a retry does not look whether it is still owed",
        "R8",
        (Patch(charge, "_judge", "max(0, fact.owed - under_way)", "payment.total_minor"),),
    ),
    Bug(
        "a send again does not look whether it is still owed",
        "R8",
        (Patch(inquiries, "_keep_asking", "and _still_wanted(payment, sale, facts[payment.id])", ""),),
    ),
    Bug(
        "overlap is not guarded",
        "R8a",
        (Patch(admit, "admit", "for payment_id in _too_much(conn, ours):", "for payment_id in ():"),),
    ),
    Bug(
        "a charge under way for the same invoices is not seen",
        "R8",
        (
            Patch(
                charge,
                "_judge",
                "under_way = fact.under_way + (0 if payment.allow_overlap else beside.overlapping(payment))",
                "under_way = 0",
            ),
        ),
    ),
    Bug(
        "a refund follows a void that merely was not found",
        "R11",
        (
            Patch(
                reversal,
                "after_confirm",
                "case Found(standing=Standing.SETTLED):",
                "case Found(standing=Standing.SETTLED | Standing.UNSETTLED):",
            ),
        ),
    ),
    Bug(
        "no quarantine after a restore",
        "E7",
        (Patch(books_epoch, "check", "if finding is Finding.DIFFERS:", "if False:"),),
    ),
    Bug(
        "what is sent is not witnessed",
        "E7",
        (
            Patch(charge_task, "_begin", "    context.guard.sent(sale.transaction_id for sale in begun)\n", ""),
            Patch(books_epoch, "check", "    witness.keep(row.life, mark)\n    return", "    return"),
        ),
    ),
    Bug("leases go by the worker's own clock", "D2", twist=_own_clocks, first=KNOWN_SEEDS + 1),
    Bug(
        "`started` is committed for a whole batch",
        "E1",
        (Patch(charge_task, "work", "min(room, 2 * group)", "most"),),
    ),
    Bug(
        "the charged is refunded instead of the refundable",
        "R17",
        (
            Patch(
                refunding,
                "Charge.refundable_minor",
                "return max(0, self.charged_minor - self.refunded_minor - self.charged_back_minor - under_way)",
                "return self.charged_minor",
            ),
        ),
    ),
    Bug(
        "a void returns what was charged, and not what is left of it",
        "R17",
        (
            Patch(
                void,
                "still_charged_minor",
                "payment.charged_minor - payment.refunded_minor - payment.charged_back_minor",
                "payment.charged_minor",
            ),
        ),
    ),
    Bug(
        "E5's index is dropped",
        "E5",
        ddl=(
            "DROP INDEX uq_gateway_transactions_one_live_sale",
            "CREATE UNIQUE INDEX uq_gateway_transactions_one_live_sale ON gateway_transactions (payment_id)"
            " WHERE operation = 'sale' AND state IN ('started', 'unknown', 'review', 'approved')",
        ),
    ),
    Bug(
        "neither the lease's token nor an earlier send is looked at",
        "D2, E4: one charge",
        (
            Patch(outcome, "_judge", "one.lease_token != sale.lease_token and not _is_answer(outcome)", "False"),
            Patch(outcome, "_judge", "sale.sends > 1 and isinstance(outcome, Failed)", "False"),
        ),
    ),
    Bug(
        "the call comes before the commit of `started`",
        "E1",
        (
            Patch(
                charge_task,
                "_begin",
                "        context.forget(conn, tally)\n",
                "        context.forget(conn, tally)\n"
                "        for _, early in sales(context, begun, cards, send_by)[0]:\n            early()\n",
            ),
        ),
    ),
    Bug(
        "a time-out is taken for a decline",
        "E3",
        (
            Patch(
                outcome,
                "finish",
                "    tally = Tally()\n",
                "    tally = Tally()\n"
                "    timed_out = Declined(DeclineClass.SOFT_TECHNICAL, 'timeout')\n"
                "    heard = [replace(h, outcome=timed_out) if isinstance(h.outcome, Unknown) else h for h in heard]\n",
            ),
        ),
    ),
    Bug(
        "a key's scope is forgotten",
        "R15",
        (Patch(record, "_KNOWN", "caller = :caller AND", "CAST(:caller AS text) IS NOT NULL AND"),),
    ),
    Bug(
        "one bad row rolls its whole group back",
        "section 3",
        (
            Patch(
                apart,
                "each",
                "        if len(rows) == 1:\n            set_aside(rows[0], type(error).__name__)\n            return\n"
                "        for row in rows:\n            each(conn, [row], write, set_aside)\n",
                "        raise\n",
            ),
        ),
    ),
    Bug(
        "a void is sent though a refund had begun",
        "R11",
        (Patch(void, "_open_reversal", "if refund_begun(conn, payment.id, sale.id):", "if False:"),),
    ),
    Bug(
        "an approval of another amount is taken",
        "R18",
        (
            Patch(
                outcome, "_judge", "fits(one.outcome, sale.amount_minor, sale.currency, sale.reference)", "one.outcome"
            ),
        ),
    ),
    Bug(
        "a wish to cancel is forgotten when the card is charged",
        "R13",
        (Patch(outcome, "_judge", "            if payment.cancel_wish_by:\n", "            if False:\n"),),
    ),
    Bug(
        "a lost lease is not looked up",
        "E4: liveness",
        (Patch(sweep, "_INQUIRIES", "due_at <= :now", "due_at <= :now AND state <> 'started'"),),
    ),
    Bug(
        "the same sale is sent again outside the window in which it is recognised",
        "E4: one charge",
        (Patch(inquiries, "_keep_asking", "now + terms.send_within < sale.started_at + at.replay_window", "True"),),
    ),
    Bug(
        "the same sale is sent again before the first could appear",
        "E4",
        (Patch(inquiries, "_keep_asking", "sale.send_until + at.appears_within <= now", "True"),),
    ),
    Bug(
        "a refund whose outcome is unknown is sent anew",
        "E4, R17",
        (
            Patch(
                reversal,
                "after_refund",
                "Next(None, Step.WATCH, appears_within, f\"the refund's",
                "Next('owe_refund', Step.REFUND, NOW, f\"the refund's",
            ),
        ),
    ),
    Bug(
        "the sweeper forgets reversals",
        "D3: liveness",
        (Patch(sweep, "_REVERSALS", "r.due_at <= :now", "false"),),
    ),
    Bug(
        "a voided payment keeps the credit that it made",
        "R10",
        (Patch(void, "void", "if credit_ids:", "if False:"),),
    ),
    Bug(
        "an accepted refund is taken for final",
        "R17",
        (
            Patch(
                reversal,
                "after_refund",
                'Next("accept", Step.WATCH, timedelta(hours=12), "the gateway accepted',
                'Next("refund", None, NOW, "the gateway accepted',
            ),
        ),
    ),
    Bug(
        "what was to be returned before a restore is sent blind",
        "E7, R17",
        (Patch(books_epoch, "release", "    _hold_reversals(conn, ended.since, now, by)\n", ""),),
        first=KNOWN_SEEDS + 1,
    ),
    Bug(
        "a refund that waited past the gateway's memory is sent again",
        "E4, R17",
        (Patch(reverse, "_came_too_late", "if reversal.state != states.Reversal.REFUNDING:", "if True:"),),
        first=1_201,
    ),
    Bug(
        "a void that a refund of the report had followed is left as it was",
        "E7, B2",
        (
            Patch(
                adopt,
                "as_refund",
                '        reverse.give_up_void(conn, reversal_id, "the sale was refunded", now, by)\n',
                "",
            ),
        ),
        first=1_401,
    ),
    Bug(
        "a life is not ended with its quarantine",
        "E7",
        (Patch(books_epoch, "release", "witness.keep(before, ENDED)", "pass"),),
        first=3_801,
    ),
)
