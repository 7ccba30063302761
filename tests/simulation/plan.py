"""What happens in a run, drawn from its seed beforehand: a list of steps that can be replayed and shortened.

A seed knows only a few kinds of episodes, faults, customers and invoices, so that they meet in it (swarm testing). An
episode leads to the neighbourhood of something rare; noise in between leads away from it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from tests.simulation.gateway import FAULTS


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that happens; the numbers choose among what is there at that moment."""

    kind: str
    a: int = 0
    b: int = 0
    c: int = 0
    word: str = ""


NOISE: Final = {
    "work": 20,
    "finish": 10,
    "sweep": 8,
    "tick": 8,
    "pay_card": 6,
    "pay_check": 3,
    "batch": 1,
    "again": 2,
    "void": 3,
    "cancel": 2,
    "refund": 3,
    "credit": 2,
    "resolve": 2,
    "approve": 2,
    "keep": 1,
    "fault": 14,
    "kill": 3,
    "die": 2,
    "skew": 1,
    "broker": 3,
    "settle": 2,
    "decide": 2,
    "back_up": 1,
    "restore": 1,
    "release": 1,
}
_SOON, _LATER, _MUCH_LATER = (3, 4, 4), (5, 6, 7, 8), (8, 9, 10)  # places in TICKS


class Draw:
    """What one seed draws from."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.faults = {name: tuple(rng.sample(known, min(len(known), rng.randint(1, 4)))) for name, known in _KNOWN}
        self.customers = rng.choice(((0,), (0,), (0, 1)))
        self.invoices = rng.sample(range(5), rng.choice((1, 1, 2, 5)))
        self.amounts = rng.sample(range(5), rng.choice((1, 2, 5)))
        self.oddly = rng.random() < 0.3  # overlaps are allowed, part of what is owed is charged
        names = list(NOISE)
        kept = rng.sample(names, rng.randint(6, len(names)))
        self.noise = {name: NOISE[name] for name in kept}
        self.noisy = rng.choice((0.0, 0.1, 0.25, 0.5))

    def step(self, kind: str, a: int | None = None, b: int | None = None) -> Step:
        """One step; what is not said is drawn."""
        rng = self.rng
        made = Step(kind, rng.randrange(100) if a is None else a, rng.randrange(100) if b is None else b)
        return replace(made, c=rng.randrange(100))

    def noise_step(self) -> Step:
        """Anything that this seed knows."""
        [kind] = self.rng.choices(list(self.noise), list(self.noise.values()))
        if kind == "fault":
            return self.fault(self.rng.choice(tuple(FAULTS)))
        return self.pay(kind) if kind in ("pay_card", "pay_check", "batch") else self.step(kind)

    def fault(self, operation: str, among: Sequence[str] = ()) -> Step:
        """The next such call meets a fault of this seed, or one of those that are named."""
        return Step("fault", word=f"{operation}:{self.rng.choice(among or self.faults[operation])}")

    def pay(self, kind: str = "pay_card") -> Step:
        """One of this seed's customers pays one of its sums for some of its invoices."""
        rng = self.rng
        odd = self.oddly and rng.random() < 0.4
        a = rng.choice(self.customers) + (18 if odd else 10 + 2 * rng.randrange(4))
        c = rng.choice(self.amounts)
        return Step(kind, a, rng.choice(self.invoices), c + (35 if odd and rng.random() < 0.5 else 5 if c == 0 else 0))

    def wait(self, among: Sequence[int]) -> Step:
        """Time passes."""
        return Step("tick", self.rng.choice(among))

    def sometimes(self, *steps: Step) -> list[Step]:
        """These steps, or none of them."""
        return list(steps) if self.rng.random() < 0.5 else []

    def worker(self) -> int:
        """Which worker an episode is about."""
        return self.rng.randrange(2)


_KNOWN: Final = tuple(FAULTS.items())
Episode = Callable[[Draw], list[Step]]


def _charged(draw: Draw, *before: Step) -> list[Step]:
    return [*before, draw.pay(), draw.step("finish", 0, 0)]


def _looked_up(draw: Draw, worker: int, waits: Sequence[int] = _LATER) -> list[Step]:
    return [draw.wait(waits), Step("sweep"), draw.step("finish", worker, 0)]


def _plain(draw: Draw) -> list[Step]:
    return [*draw.sometimes(draw.fault("sale")), draw.pay(), *draw.sometimes(draw.pay()), draw.step("finish")]


def _lost_answer(draw: Draw) -> list[Step]:
    """The outcome is not known; meanwhile somebody may pay otherwise, or say what became of it."""
    fault = draw.fault("sale", ("lost_before", "lost_before", "late", "lost_after", "lagging", "broke"))
    return [
        *_charged(draw, fault),
        *draw.sometimes(draw.pay("pay_check")),
        *draw.sometimes(draw.fault("inquiry")),
        *_looked_up(draw, 0),
        *draw.sometimes(draw.step("resolve"), *_looked_up(draw, 1, _SOON)),
        *_looked_up(draw, 1),
    ]


def _lost_lease(draw: Draw) -> list[Step]:
    """A worker stops in the middle, is killed or overtaken, and may come back when others went on."""
    one = draw.worker()
    stops = [draw.step("work", one, 0) for _ in range(draw.rng.randint(2, 4))]
    comes_back = draw.rng.random() < 0.6
    return [
        *draw.sometimes(draw.step("skew", 1 - one)),
        draw.pay(),
        *stops,
        *([] if comes_back else [Step("kill", one)]),
        *draw.sometimes(draw.fault("inquiry")),
        *_looked_up(draw, 1 - one, (*_SOON, *_LATER)),
        *draw.sometimes(draw.step("resolve", b=1)),
        *draw.sometimes(draw.fault("sale", ("lost_after", "lost_before"))),
        *_looked_up(draw, 1 - one),
        *draw.sometimes(draw.step("finish", one, 0)),
        *_looked_up(draw, one, _MUCH_LATER),
    ]


def _overtaken_sender(draw: Draw) -> list[Step]:
    """A worker wakes right before its send, when the same sale was sent again and that answer was lost."""
    one = draw.worker()
    other = 1 - one
    return [
        draw.pay(),
        draw.step("work", one, 0),
        draw.step("work", one, 0),
        draw.wait((6, 6, 7)),
        draw.fault("sale", ("lost_after", "lost_after", "late", "soft")),
        Step("sweep"),
        draw.step("finish", other, 0),
        *draw.sometimes(draw.wait(_SOON), Step("sweep"), draw.step("finish", other, 0)),
        draw.step("finish", one, 0),
        draw.wait(_LATER),
        Step("sweep"),
        draw.step("finish", one, 0),
        draw.step("finish", other, 0),
    ]


def _wished_away(draw: Draw) -> list[Step]:
    """Somebody cancels while the card is being charged."""
    one = draw.worker()
    return [
        *draw.sometimes(draw.fault("sale")),
        draw.pay(),
        *[draw.step("work", one, 0) for _ in range(draw.rng.randint(1, 4))],
        draw.step("cancel"),
        draw.step("finish", one, 0),
        *_looked_up(draw, 0),
    ]


def _declined(draw: Draw) -> list[Step]:
    """A retry comes a day later, when somebody may have paid otherwise."""
    return [
        *_charged(draw, draw.fault("sale", ("soft", "soft", "busy", "not_sent"))),
        *draw.sometimes(draw.pay("pay_check")),
        *draw.sometimes(draw.pay(), draw.step("work", 1, 0)),
        *_looked_up(draw, 0, _MUCH_LATER),
        *_looked_up(draw, 1, _MUCH_LATER),
    ]


def _held(draw: Draw) -> list[Step]:
    """A reviewer at the gateway decides; or what was approved is not what was asked for."""
    return [
        *_charged(draw, draw.fault("sale", ("held", "other_amount"))),
        *draw.sometimes(draw.step("cancel")),
        *draw.sometimes(draw.step("decide")),
        *draw.sometimes(draw.step("resolve")),
        *_looked_up(draw, 0, _MUCH_LATER),
    ]


def _voided(draw: Draw) -> list[Step]:
    """A charge goes back: by a void, which may be lost or refused, else by a refund."""
    return [
        *_charged(draw),
        *draw.sometimes(Step("settle")),
        *draw.sometimes(draw.fault("void", ("lost_before", "lost_before", "late", "lost_after", "will_not"))),
        *draw.sometimes(draw.fault("refund")),
        draw.step("void"),
        draw.step("finish", 0, 0),
        *draw.sometimes(draw.step("broker", 0)),
        *_looked_up(draw, 1, (*_SOON, *_LATER)),
        *draw.sometimes(Step("settle")),
        *_looked_up(draw, 0),
        *draw.sometimes(draw.step("approve"), draw.step("finish", 0, 0)),
    ]


def _refunded(draw: Draw) -> list[Step]:
    """Parts of a charge go back, and then perhaps the rest of it."""
    return [
        *_charged(draw),
        Step("settle"),
        *draw.sometimes(draw.fault("refund")),
        draw.step("refund"),
        *draw.sometimes(draw.step("refund")),
        draw.step("finish", 0, 0),
        *draw.sometimes(draw.step("decide")),
        *draw.sometimes(*_looked_up(draw, 1)),
        *draw.sometimes(draw.fault("refund")),
        draw.step(draw.rng.choice(("refund", "void", "void"))),
        draw.step("finish", 0, 0),
        *_looked_up(draw, 1, _MUCH_LATER),
        *draw.sometimes(draw.step("decide")),
        *_looked_up(draw, 0, _MUCH_LATER),
    ]


def _file(draw: Draw) -> list[Step]:
    """A file of five, with answers that cannot all be recorded."""
    faults = [draw.fault("sale", ("garbled", "garbled", "lost_after", "soft", "broke")) for _ in range(3)]
    return [
        *draw.sometimes(*faults),
        draw.pay("batch"),
        *draw.sometimes(draw.step("work", 1, 0), draw.step("work", 1, 0), draw.step("work", 1, 0)),
        draw.step("finish", 0, 0),
        draw.step("finish", 1, 0),
        *_looked_up(draw, 0),
    ]


def _asked_again(draw: Draw) -> list[Step]:
    return [draw.pay(), *draw.sometimes(draw.step("finish", 0, 0)), draw.step("again"), draw.step("again")]


def _in_credit(draw: Draw) -> list[Step]:
    """More is paid than is owed; what the credit pays is owed again when the payment is voided."""
    return [
        replace(draw.pay("pay_check"), b=1, c=3),
        draw.step("finish", 0, 0),
        *draw.sometimes(draw.step("credit")),
        draw.step("void"),
    ]


def _restored(draw: Draw) -> list[Step]:
    """The database goes back; the gateway, the witness and perhaps the broker do not (E7)."""
    meanwhile: tuple[Episode, ...] = (_charged, _plain, _voided, _declined)
    return [
        *draw.sometimes(draw.pay(), *draw.sometimes(draw.step("work", 0, 0), draw.step("work", 0, 0))),
        Step("back_up"),
        *draw.sometimes(draw.step("finish", 0, 0)),
        *draw.rng.choice(meanwhile)(draw),
        draw.step("restore"),
        *draw.sometimes(draw.step("again", b=1)),
        *draw.sometimes(draw.pay()),
        *_looked_up(draw, 0, (*_SOON, *_LATER)),
        draw.step("finish", 1, 0),
        *draw.sometimes(Step("release"), draw.step("again", b=1)),
        *_looked_up(draw, 0),
    ]


EPISODES: Final[tuple[Episode, ...]] = (
    _plain,
    _lost_answer,
    _lost_lease,
    _overtaken_sender,
    _wished_away,
    _declined,
    _held,
    _voided,
    _refunded,
    _file,
    _asked_again,
    _in_credit,
    _restored,
)


def _said_too_early(draw: Draw) -> list[Step]:
    """A worker stops with the approval in its hands; the gateway's list lags; somebody says that it was not made."""
    one = draw.worker()
    return [
        draw.fault("sale", ("lagging",)),
        draw.pay(),
        *[draw.step("work", one, 0) for _ in range(draw.rng.randint(3, 5))],
        draw.wait((4, 5)),
        Step("sweep"),
        draw.step("finish", 1 - one, 0),
        draw.step("resolve", b=1),
        *draw.sometimes(draw.step("finish", 1 - one, 0)),
        draw.step("finish", one, 0),
        *_looked_up(draw, one, _MUCH_LATER),
    ]


def _wrong_clock(draw: Draw) -> list[Step]:
    """An outcome is not known, and the worker that looks it up has a clock that is half an hour ahead."""
    return [
        draw.fault("sale", ("lost_before", "late", "lagging")),
        draw.pay(),
        draw.step("finish", 0, 0),
        draw.step("skew", 1, 3),
        draw.wait((4, 5)),
        Step("sweep"),
        draw.step("finish", 1, 0),
        *_looked_up(draw, 1, (4, 5)),
        *_looked_up(draw, 0),
    ]


def _returned_and_restored(draw: Draw) -> list[Step]:
    """Money is on its way back when the database is backed up; it arrives, and the database goes back (E7)."""
    return [
        *_charged(draw),
        Step("settle"),
        draw.step(draw.rng.choice(("refund", "refund", "void"))),
        *[draw.step("work", 0, 0) for _ in range(draw.rng.randint(0, 3))],
        Step("back_up"),
        draw.step("finish", 0, 0),
        *_looked_up(draw, 0),
        draw.step("restore"),
        *_looked_up(draw, 1, (*_SOON, *_LATER)),
        *draw.sometimes(Step("release")),
        *_looked_up(draw, 0),
        *draw.sometimes(draw.step("approve"), draw.step("finish", 0, 0)),
    ]


RARE: Final[tuple[Episode, ...]] = (_said_too_early, _wrong_clock, _returned_and_restored)
KNOWN_SEEDS: Final = 200
"""So far docs/reliability.md names seeds, whose stories stay as they are; later ones know rarer episodes, too."""


def plan(seed: int) -> list[Step]:
    """The steps of a seed."""
    rng = random.Random(seed)
    draw = Draw(rng)
    kinds = rng.sample(EPISODES if seed <= KNOWN_SEEDS else EPISODES + 2 * RARE, rng.randint(1, 3))
    steps: list[Step] = []
    for _ in range(rng.randint(1, 3)):
        for step in rng.choice(kinds)(draw):
            while rng.random() < draw.noisy:
                steps.append(draw.noise_step())
            steps.append(step)
    return steps
