"""A small supervisor: starts named child processes, watches them, and stops all of them and nothing else.

Each child leads a session of its own, so that Ctrl-C reaches only us and we decide who stops when. A child that
ends is reported, never restarted silently. What is left over from a supervisor that was killed is ended by the
next one on the same home.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from local import pids
from local.account import keep
from local.errors import LocalError
from local.ports import answers
from local.topology import Process

_PROJECT = Path(__file__).parents[1]
_READY_WITHIN = 60.0
_POLL = 0.05


class ChildFailed(LocalError):
    """A child ended, or was not ready in time; the text says which, how, and what its log says last."""


@dataclass(frozen=True)
class Ended:
    """A child that ended though nobody asked it to."""

    name: str
    code: int
    log: Path

    def __str__(self) -> str:
        how = f"was killed by signal {-self.code}" if self.code < 0 else f"ended with code {self.code}"
        return f"{self.name} {how}; the end of {self.log}:\n{_tail(self.log)}"


@dataclass
class _Child:
    process: Process
    handle: subprocess.Popen[bytes]
    born: str | None
    log: Path
    log_began: int
    reported: bool = False

    def has_ended(self) -> bool:
        """Say so without reaping: as long as it is not reaped, its pid names its group and nobody else's."""
        return self.born is None or pids.birth(self.handle.pid) != self.born

    def reap(self) -> int:
        """End whatever its group still holds, wait for it, and return its exit code."""
        if self.handle.returncode is None:
            pids.signal_group(self.handle.pid, signal.SIGKILL)
        return self.handle.wait()

    def is_ready(self) -> bool:
        if self.process.ready_port is not None:
            return answers(self.process.ready_port)
        if self.process.ready_text is not None:
            with self.log.open("rb") as log:
                log.seek(self.log_began)
                return self.process.ready_text.encode() in log.read()
        return True


class Supervisor:
    """The children of one home folder."""

    def __init__(self, home: Path, environment: Mapping[str, str], say: Callable[[str], None]) -> None:
        """Children run in the project's folder; they get `environment` and what their process adds to it."""
        self._home = home
        self._environment = dict(environment)
        self._say = say
        self._children: list[_Child] = []
        self._record = home / "processes.json"

    def start(self, *processes: Process, ready_within: float = _READY_WITHIN) -> None:
        """Start processes side by side and wait until each is ready.

        Raises ChildFailed for one that ends or is not ready in time; the others keep running until `stop`.
        """
        started = [self._spawn(process) for process in processes]
        end = time.monotonic() + ready_within
        for child in started:
            while not child.is_ready() or child.has_ended():
                if child.has_ended():
                    child.reported = True
                    raise ChildFailed(f"{_ended(child)}")
                if time.monotonic() > end:
                    raise ChildFailed(
                        f"{child.process.name} is not ready after {ready_within:.0f} s; the end of {child.log}:\n"
                        f"{_tail(child.log)}"
                    )
                time.sleep(_POLL)

    def run(self, process: Process) -> None:
        """Run a process that ends by itself; raises ChildFailed where it fails."""
        child = self._spawn(process)
        try:
            while not child.has_ended():
                time.sleep(_POLL)
        except BaseException:
            self._stop_together([child], lambda: False)
            raise
        finally:
            self._forget(child)
        if child.reap() != 0:
            raise ChildFailed(f"{_ended(child)}")

    def ended(self) -> list[Ended]:
        """Return the children that ended since this was last asked."""
        news = [child for child in self._children if not child.reported and child.has_ended()]
        for child in news:
            child.reported = True
        return [_ended(child) for child in news]

    def stop(self, hurry: Callable[[], bool] = lambda: False) -> None:
        """Stop the children in the order of their ranks, letting each drain unless `hurry` says otherwise."""
        by_rank = sorted(self._children, key=lambda child: child.process.stop_rank)
        for _, group in groupby(by_rank, key=lambda child: child.process.stop_rank):
            together = list(group)
            self._stop_together(together, hurry)
            for child in together:
                self._forget(child)

    def end_leftovers(self) -> None:
        """End the children of a supervisor on this home that was killed; a pid that went to a stranger is spared."""
        try:
            known = json.loads(self._record.read_text())
        except FileNotFoundError:
            return
        alive = [entry for entry in known if pids.birth(entry["pid"]) == entry["born"] is not None]
        for entry in alive:
            self._say(f"Stopping {entry['name']} (process {entry['pid']}), which an earlier run left running ...")
            os.kill(entry["pid"], signal.SIGTERM)
        end = time.monotonic() + max((entry["drain"] for entry in alive), default=0.0)
        for entry in alive:
            pids.wait_until_gone(entry["pid"], entry["born"], max(0.0, end - time.monotonic()))
            if pids.birth(entry["pid"]) == entry["born"]:
                pids.signal_group(entry["pid"], signal.SIGKILL)
                pids.wait_until_gone(entry["pid"], entry["born"], 10)
        self._record.unlink()

    def _spawn(self, process: Process) -> _Child:
        log = self._home / "log" / f"{process.name}.log"
        log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with log.open("ab") as output:
            began = output.tell()
            handle = subprocess.Popen(
                [sys.executable, *process.argv[1:]],
                cwd=_PROJECT,
                env={**self._environment, **process.environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        child = _Child(process, handle, pids.birth(handle.pid), log, began)
        self._children.append(child)
        self._write_record()
        return child

    def _stop_together(self, children: Iterable[_Child], hurry: Callable[[], bool]) -> None:
        began = time.monotonic()
        waiting = list(children)
        for child in waiting:
            if not child.has_ended():
                child.handle.terminate()
        while waiting:
            for child in list(waiting):
                late = time.monotonic() - began > child.process.drain
                if late and not child.has_ended():
                    self._say(f"{child.process.name} did not end within {child.process.drain:.0f} s; killing it")
                if late or hurry() or child.has_ended():
                    child.reap()
                    waiting.remove(child)
            time.sleep(_POLL if waiting else 0)

    def _forget(self, child: _Child) -> None:
        self._children.remove(child)
        self._write_record()

    def _write_record(self) -> None:
        if not self._children:
            self._record.unlink(missing_ok=True)
            return
        entries = [
            {
                "name": child.process.name,
                "pid": child.handle.pid,
                "born": child.born,
                "drain": child.process.drain,
            }
            for child in self._children
        ]
        keep(self._record, json.dumps(entries))


def _ended(child: _Child) -> Ended:
    return Ended(child.process.name, child.reap(), child.log)


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-12:])
