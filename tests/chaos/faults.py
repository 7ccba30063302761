"""What a seed lets go wrong, when, for how long, and how it is done."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import psutil
import redis

from local.errors import LocalError
from tests.chaos import disk
from tests.chaos.site import Site

SERVERS: Final = ("postgres", "redis")


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong: seconds since the beginning, what, to whom, for how long, how strongly."""

    at: float
    kind: str
    target: str
    lasts: float
    strength: float

    def __str__(self) -> str:
        return f"{KINDS[self.kind].words.format(target=self.target, lasts=self.lasts, strength=self.strength)}"


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of fault: how it is told, whom it may hit, how long it lasts (in leases where `beyond`), how it is done.

    `begin` returns what it met, in words. `end` undoes it; None where it is over at once.
    """

    words: str
    targets: tuple[str, ...]
    shortest: float
    longest: float
    begin: Callable[[Site, Fault], str]
    end: Callable[[Site, Fault], None] | None = None
    beyond: bool = False  # it lasts for longer than the lease
    strengths: tuple[float, ...] = (0,)


# ---- how each is done


def _kill(site: Site, fault: Fault) -> str:
    site.kill(fault.target, fault.lasts)
    return "with its pool"


def _kill_child(site: Site, fault: Fault) -> str:
    pool = site.everyone(fault.target)[1:]
    if not pool:
        return "it has no pool yet"
    child = pool[int(fault.strength) % len(pool)]
    with suppress(psutil.NoSuchProcess):
        child.send_signal(signal.SIGKILL)
    return f"one of {len(pool)}"


def _freeze(site: Site, fault: Fault) -> str:
    site.freeze(fault.target)
    return f"its lease of {site.size.lease} s ends meanwhile"


def _thaw(site: Site, fault: Fault) -> None:
    site.thaw(fault.target)


def _kill_server(site: Site, fault: Fault) -> str:
    met = len(site.server(fault.target))
    site.kill_server(fault.target)
    return f"{met} processes"


def _start_server(site: Site, fault: Fault) -> None:
    site.start_server(fault.target)


def _kill_backend(site: Site, fault: Fault) -> str:
    backends = [one for one in site.server("postgres")[1:] if _name(one).startswith("postgres: defray")]
    if not backends:
        return "there was none"
    victim = backends[int(fault.strength) % len(backends)]
    met = _name(victim)
    with suppress(psutil.NoSuchProcess):
        victim.send_signal(signal.SIGKILL)
    return f"{met.removeprefix('postgres: ')}; the server ends all others and recovers"


def _name(process: psutil.Process) -> str:
    with suppress(psutil.NoSuchProcess):
        return " ".join(process.cmdline()).strip()
    return ""


def _freeze_server(site: Site, fault: Fault) -> str:
    stopped = site.server(fault.target)
    for one in stopped:
        with suppress(psutil.NoSuchProcess):
            one.send_signal(signal.SIGSTOP)
    return f"{len(stopped)} processes"


def _thaw_server(site: Site, fault: Fault) -> None:
    for one in site.server(fault.target):
        with suppress(psutil.NoSuchProcess):
            one.send_signal(signal.SIGCONT)


def _flush(site: Site, fault: Fault) -> str:
    del fault
    messages = sum(int(str(site.broker.llen(queue))) for queue in ("interactive", "bulk", "scheduled", "outbound"))
    keys = site.broker.dbsize()
    site.broker.flushall()
    return f"{messages} messages, {keys} keys"


def _fill_memory(site: Site, fault: Fault) -> str:
    del fault
    used = int(site.broker.info("memory")["used_memory"])
    site.broker.config_set("maxmemory", used + (1 << 20))
    filled = 0
    with suppress(redis.ResponseError):
        while True:
            site.broker.append("chaos:ballast", bytes(1 << 16))
            filled += 1
    return f"with {filled * 64} KiB"


def _empty_memory(site: Site, fault: Fault) -> None:
    del fault
    site.broker.config_set("maxmemory", 0)
    site.broker.delete("chaos:ballast")


def _cut(site: Site, fault: Fault) -> str:
    return f"{site.proxies[fault.target].cut()} connections"


def _refuse(site: Site, fault: Fault) -> str:
    return f"{site.proxies[fault.target].refuse()} connections"


def _hold(site: Site, fault: Fault) -> str:
    return f"{site.proxies[fault.target].hold()} connections"


def _delay(site: Site, fault: Fault) -> str:
    return f"{site.proxies[fault.target].delay(fault.strength)} connections"


def _lose(site: Site, fault: Fault) -> str:
    return f"{site.proxies[fault.target].lose(int(fault.strength))} connections open"


def _restore(site: Site, fault: Fault) -> None:
    site.proxies[fault.target].restore()


def _turn(site: Site, fault: Fault) -> str:
    site.turn(fault.target, fault.strength)
    return "parent and pool"


def _turn_back(site: Site, fault: Fault) -> None:
    site.turn(fault.target, 0)


def _fill_disk(site: Site, fault: Fault) -> str:
    del fault
    return site.no_disk or f"{disk.fill(site.postgres)} MiB were free"


def _empty_disk(site: Site, fault: Fault) -> None:
    disk.empty(site.postgres)
    if not site.is_server_up("postgres"):  # it ends where even the log finds no room
        site.postgres.stop()
        site.start_server("postgres")
        site.say(f"{fault.target} had ended for want of room, and is started")


_WORKERS: Final = ("worker-bulk", "worker-bulk-2", "worker-interactive", "worker-scheduled")
_NETWORKS: Final = ("postgres", "redis", "gateways")

KINDS: Final[dict[str, Kind]] = {
    "kill worker": Kind("kill -9 {target}", _WORKERS, 0, 2, _kill),
    "kill bulk worker": Kind("kill -9 {target}", _WORKERS[:2], 0, 2, _kill),
    "kill child": Kind("kill -9 a child of {target}", _WORKERS, 0, 0, _kill_child, strengths=(0, 1, 2)),
    "kill beat": Kind("kill -9 {target}", ("beat",), 0, 4, _kill),
    "kill web": Kind("kill -9 {target}", ("web",), 0, 2, _kill),
    "kill redis": Kind("kill -9 {target} for {lasts:.1f} s", ("redis",), 0.2, 4, _kill_server, _start_server),
    "kill postgres": Kind("kill -9 {target} for {lasts:.1f} s", ("postgres",), 0.2, 3, _kill_server, _start_server),
    "kill backend": Kind(
        "kill -9 one process of {target}", ("postgres",), 0.5, 0.5, _kill_backend, strengths=(0, 3, 7)
    ),
    "stop worker": Kind("SIGSTOP {target} for {lasts:.1f} s", _WORKERS[:2], 0.5, 2, _freeze, _thaw, beyond=True),
    "stop other worker": Kind("SIGSTOP {target} for {lasts:.1f} s", _WORKERS[2:], 0.5, 2, _freeze, _thaw, beyond=True),
    "stop beat": Kind("SIGSTOP {target} for {lasts:.1f} s", ("beat",), 0.5, 2, _freeze, _thaw, beyond=True),
    "stop web": Kind("SIGSTOP {target} for {lasts:.1f} s", ("web",), 0.5, 3, _freeze, _thaw),
    "stop server": Kind(
        "SIGSTOP {target} for {lasts:.1f} s", SERVERS, 0.2, 1, _freeze_server, _thaw_server, beyond=True
    ),
    "flush": Kind("FLUSHALL {target}", ("redis",), 0.1, 0.1, _flush),
    "fill memory": Kind("fill {target}'s memory for {lasts:.1f} s", ("redis",), 1, 5, _fill_memory, _empty_memory),
    "cut": Kind("cut the connections to {target}", _NETWORKS, 0.1, 0.1, _cut),
    "refuse": Kind("cut {target} off for {lasts:.1f} s", _NETWORKS, 0.5, 3, _refuse, _restore),
    "hold": Kind("let nothing through to {target} for {lasts:.1f} s", _NETWORKS, 0.5, 4, _hold, _restore),
    "delay": Kind(
        "delay {target} by {strength} s a piece for {lasts:.1f} s",
        *(_NETWORKS, 1, 4, _delay, _restore),
        strengths=(0.02, 0.1, 0.4),
    ),
    "lose answers": Kind(
        "lose the next {strength} answers of {target}",
        *(_NETWORKS, 0.5, 2, _lose, _restore),
        strengths=(1, 10, 40),
    ),
    "lose gateways' answers": Kind(
        "lose the next {strength} answers of {target}",
        *(("gateways",), 0.5, 2, _lose, _restore),
        strengths=(5, 20, 60),
    ),
    "turn clock": Kind(
        "turn the clock of {target} by {strength} s for {lasts:.1f} s",
        *(_WORKERS, 2, 8, _turn, _turn_back),
        strengths=(-600, -90, 45, 300),
    ),
    "fill disk": Kind("fill {target}'s disk for {lasts:.1f} s", ("postgres",), 1, 4, _fill_disk, _empty_disk),
}


def plan(seed: int, count: int, seconds: float, lease: float, kinds: Sequence[str] = tuple(KINDS)) -> list[Fault]:
    """The faults of a seed: every kind before one comes again, and of one target only one at a time."""
    draw = random.Random(seed)
    busy: dict[str, list[tuple[float, float]]] = {}
    faults: list[Fault] = []
    for name in _turns(draw, kinds):
        if len(faults) >= count:
            break
        kind = KINDS[name]
        target = draw.choice(kind.targets)
        lasts = draw.uniform(kind.shortest, kind.longest) + (lease if kind.beyond else 0)
        for _ in range(20):
            begins = draw.uniform(0, seconds)
            if all(begins > after or begins + lasts < before for before, after in busy.get(target, ())):
                busy.setdefault(target, []).append((begins, begins + lasts + 0.5))
                faults.append(Fault(begins, name, target, lasts, draw.choice(kind.strengths)))
                break
    return sorted(faults, key=lambda fault: fault.at)


def _turns(draw: random.Random, kinds: Sequence[str]) -> Iterator[str]:
    for _ in range(20):
        yield from draw.sample(kinds, len(kinds))


class Script:
    """Lets the faults of a plan happen, each at its time."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._to_begin: list[Fault] = []
        self._to_end: list[tuple[float, Fault]] = []
        self._began = time.monotonic()

    def run(self, faults: Sequence[Fault], going_on: Callable[[], bool] = lambda: False) -> None:
        """Until all faults have come and gone (`going_on`: and until this is false)."""
        self._to_begin, self._began = list(faults), time.monotonic()
        while self._to_begin or self._to_end or going_on():
            now = time.monotonic() - self._began
            for due, fault in [one for one in self._to_end if one[0] <= now]:
                self._to_end.remove((due, fault))
                self._end(fault)
            if self._to_begin and self._to_begin[0].at <= now:
                self._begin(self._to_begin.pop(0))
            self._site.tend()
            time.sleep(0.05)

    def stop(self) -> None:
        """End what goes on; what did not begin never does."""
        self._to_begin.clear()
        given_up = time.monotonic() + 60
        while self._to_end:
            assert time.monotonic() < given_up, f"these faults cannot be ended: {self._to_end}"
            self._end(self._to_end.pop(0)[1])
            time.sleep(0.05)

    def _begin(self, fault: Fault) -> None:
        kind = KINDS[fault.kind]
        if not self._can(fault):
            self._site.say(f"{fault}: passed over, {fault.target} is down")
            return
        seen = self._site.glance()
        try:
            met = kind.begin(self._site, fault)
        except (redis.RedisError, OSError) as reason:
            met = f"not done: {reason}"
        self._site.say(f"{fault} ({met}; {seen})")
        if kind.end is not None:
            self._to_end.append((time.monotonic() - self._began + fault.lasts, fault))

    def _can(self, fault: Fault) -> bool:
        if fault.target in self._site.kept:
            one = self._site.kept[fault.target]
            return one.is_up and not one.stopped
        return fault.target not in SERVERS or self._site.is_server_up(fault.target)

    def _end(self, fault: Fault) -> None:
        end = KINDS[fault.kind].end
        assert end is not None
        try:
            end(self._site, fault)
        except (redis.RedisError, LocalError) as reason:
            self._site.say(f"{fault}: ends later, {str(reason).splitlines()[0]}")
            self._to_end.append((time.monotonic() - self._began + 1, fault))
