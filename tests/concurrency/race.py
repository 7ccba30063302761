"""Rounds: acts at once on one copy of the customer, then the same acts one after another on another copy.

What happened at once must be what happens when the same transactions are done one by one, in the order of their
commits; where that is not so, in any order that does not turn round what was over before it began.
"""

from __future__ import annotations

import random
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Final

import greenlet
from sqlalchemy import text

from books.audit import audit
from tests.concurrency.acts import ACTS, Copy, Seen, done, new_copy, seen
from tests.concurrency.stage import Stage, Turn
from tests.simulation.world import VISA

_WAITING: Final = text("""
    SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'""")
ORDERS_MAX: Final = 40
ALWAYS: Final = ("a payment", "another payment", "a void", "credits applied", "an import")
SOMETIMES: Final = tuple(name for name in ACTS if name not in ALWAYS)


@dataclass(frozen=True)
class Round:
    """How one went: whose turn it was, what was seen at the end, how many serial orders were looked at."""

    names: tuple[str, ...]
    order: tuple[str, ...]
    at_once: Seen
    serial: Seen
    orders: int

    @property
    def is_serial(self) -> bool:
        """Whether one of the serial orders ends the same."""
        return self.at_once == self.serial

    def difference(self) -> str:
        """What differs, for people."""
        lines = [f"{self.names}", f"turns: {', '.join(self.order)}", f"serial orders tried: {self.orders}"]
        for table, rows in self.at_once.items():
            lines += [f"{table}: only at once: {row}" for row in rows if row not in self.serial[table]]
            lines += [f"{table}: only one by one: {row}" for row in self.serial[table] if row not in rows]
        return "\n".join(lines)


def rounds(stage: Stage, seed: int, most: int) -> Iterator[Round]:
    """So many rounds, each with the usual acts and some of the others."""
    chance = random.Random(seed)
    [card] = stage.producer.keep_cards([VISA])
    for number in range(most):
        names = [*ALWAYS, *chance.sample(SOMETIMES, 3)]
        chance.shuffle(names)
        yield one_round(stage, card.token, tuple(names), pile_up=number % 2 == 0)


def one_round(stage: Stage, card: str, names: Sequence[str], pile_up: bool) -> Round:
    """Acts at once; then one by one until it ends the same, or all orders were tried."""
    raced = new_copy(stage, card)
    stage.turns.clear()
    told = at_once(raced, names, pile_up)
    turns = sorted(stage.turns, key=lambda turn: turn.tick)
    ended = seen(raced, told)
    first: Seen | None = None
    tried = 0
    for order in orders(turns):
        copy = new_copy(stage, card)
        serial = seen(copy, one_by_one(copy, names, [turn.by for turn in order]))
        first = first or serial
        tried += 1
        if serial == ended:
            return Round(tuple(names), tuple(turn.by for turn in order), ended, serial, tried)
    assert first is not None
    return Round(tuple(names), tuple(turn.by for turn in turns), ended, first, tried)


def until_waiting(stage: Stage, enough: Callable[[int], bool]) -> None:
    """Wait until so many wait for a lock."""
    with stage.engine.connect() as conn:
        watch = conn.execution_options(isolation_level="AUTOCOMMIT")
        for _ in range(10_000):
            if enough(int(watch.execute(_WAITING).scalar_one())):
                return
            watch.execute(text("SELECT pg_sleep(0.001)"))
    raise AssertionError("they neither wait nor end")


def wrong_books(stage: Stage) -> list[str]:
    """What the audit finds (B2), and what the gateway saw broken."""
    with stage.engine.begin() as conn:
        return [*map(str, audit(conn)), *stage.gateway.till.broken]


def at_once(copy: Copy, names: Sequence[str], pile_up: bool) -> dict[str, str]:
    """Everybody begins at one moment, each with a connection of their own.

    `pile_up`: somebody holds the customer until all wait for it, each with what was read before.
    """
    start = threading.Barrier(len(names))

    def begin(name: str) -> str:
        start.wait(30)
        return done(name, copy)

    with ThreadPoolExecutor(len(names)) as threads:
        if not pile_up:
            return dict(zip(names, threads.map(begin, names), strict=True))
        with copy.stage.engine.connect() as holder, holder.begin():
            holder.execute(text("SELECT FROM customers WHERE id = :id FOR NO KEY UPDATE"), {"id": copy.id})
            acting = [threads.submit(begin, name) for name in names]
            until_waiting(copy.stage, lambda waiting: waiting + sum(act.done() for act in acting) >= len(names))
        return {name: act.result(60) for name, act in zip(names, acting, strict=True)}


def one_by_one(copy: Copy, names: Sequence[str], order: Sequence[str]) -> dict[str, str]:
    """The same acts, a transaction at a time in this order; what is left of any of them comes at the end."""
    told: dict[str, str] = {}

    def play(name: str) -> None:
        told[name] = done(name, copy)

    players = {name: greenlet.greenlet(partial(play, name)) for name in names}
    for name in (*order, *names):
        _one_turn(copy.stage, players[name])
    for name in names:
        while not players[name].dead:
            players[name].switch()
    return told


def _one_turn(stage: Stage, player: greenlet.greenlet) -> None:
    before = len(stage.turns)
    while not player.dead and len(stage.turns) == before:
        player.switch()


def orders(turns: Sequence[Turn]) -> Iterator[Sequence[Turn]]:
    """The order of the turns, then others near it; none that turns round what was over before it began.

    Likely ones first: a request reads whether an invoice is void before it waits for the customer, and an invoice is
    issued without waiting.
    """
    waiting = deque([tuple(turns), _read_before(turns, "an invoice voided"), *_later(turns, "an invoice issued")])
    known: set[tuple[Turn, ...]] = set()
    while waiting and len(known) < ORDERS_MAX:
        order = waiting.popleft()
        if order in known:
            continue
        known.add(order)
        yield order
        for place, (one, other) in enumerate(pairwise(order)):
            if _may_swap(one, other):
                waiting.append((*order[:place], other, one, *order[place + 2 :]))


def _may_swap(one: Turn, other: Turn) -> bool:
    return one.by != other.by and one.ended > other.began


def _read_before(turns: Sequence[Turn], act: str) -> tuple[Turn, ...]:
    """Those who overlapped with the act's turn come first."""
    order = list(turns)
    for place, turn in enumerate(turns):
        if turn.by == act:
            overtake = [later for later in turns[place + 1 :] if _may_swap(turn, later)]
            begun = [later for later in overtake if later.by not in {earlier.by for earlier in turns[:place]}]
            first = list({later.by: later for later in reversed(begun)}.values())
            rest = [later for later in turns[place + 1 :] if later not in first]
            order = [*turns[:place], *sorted(first, key=lambda later: later.tick), turn, *rest]
    return tuple(order)


def _later(turns: Sequence[Turn], act: str) -> Iterator[tuple[Turn, ...]]:
    """The act's turn comes later, by one place after the other."""
    order = list(turns)
    for place in range(len(order) - 1):
        if order[place].by == act and _may_swap(order[place], order[place + 1]):
            order[place], order[place + 1] = order[place + 1], order[place]
            yield tuple(order)
