"""DESIGN section 9: the supervisor lets its children drain in order, and stops all of them and nothing else."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from local import pids
from local.interrupts import watched_interrupts
from local.ports import free_port
from local.processes import ChildFailed, Ended, Supervisor
from local.topology import Process

HERE = Path(__file__).parent


def eventually(condition: Callable[[], bool], seconds: float = 10) -> None:
    """Wait for a condition, and fail where it doesn't come true in time."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "the condition did not come true in time"
        time.sleep(0.02)


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    file = tmp_path / "notes"
    file.touch()
    return file


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def supervisor(tmp_path: Path, said: list[str]) -> Iterator[Supervisor]:
    made = Supervisor(tmp_path / "home", {"COLOUR": "blue"}, said.append)
    yield made
    made.stop(hurry=lambda: True)


def child(
    mode: str, notes: Path, *, rank: int = 1, drain: float = 30, text: str | None = "ready", port: int | None = None
) -> Process:
    argv = ("python", str(HERE / "child.py"), mode, str(notes))
    return Process(mode, argv, stop_rank=rank, ready_text=text, ready_port=port, drain=drain)


def pid_of(home: Path, name: str) -> int:
    record = json.loads((home / "processes.json").read_text())
    return next(int(entry["pid"]) for entry in record if entry["name"] == name)


def lines(notes: Path) -> list[str]:
    return notes.read_text().splitlines()


@contextmanager
def supervised(tmp_path: Path, mode: str, notes: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A supervisor in a process of its own, with one child."""
    home = tmp_path / "home"
    home.mkdir()
    argv = [sys.executable, str(HERE / "supervised.py"), str(home), mode, str(notes)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, start_new_session=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"started\n"
        yield process


def test_child_runs_in_a_session_of_its_own(supervisor: Supervisor, notes: Path, tmp_path: Path) -> None:
    """Ctrl-C at the terminal reaches the supervisor only: every child leads its own session."""
    supervisor.start(child("plain", notes))
    pid = pid_of(tmp_path / "home", "plain")
    assert os.getsid(pid) == pid != os.getsid(0)


def test_output_goes_to_a_log(supervisor: Supervisor, notes: Path, tmp_path: Path) -> None:
    """What a child says is in log/NAME.log of the home."""
    supervisor.start(child("plain", notes))
    assert (tmp_path / "home" / "log" / "plain.log").read_text() == "ready\n"


def test_child_gets_the_environment_it_was_given(supervisor: Supervisor, notes: Path) -> None:
    """A child's environment is the supervisor's and its own, not the caller's."""
    process = child("environment", notes)
    supervisor.start(Process(process.name, process.argv, 1, {"SHAPE": "round"}, ready_text="ready"))
    names = {line.partition("=")[0] for line in lines(notes)}
    assert {"COLOUR=blue", "SHAPE=round"} <= set(lines(notes))
    assert "PYTEST_CURRENT_TEST" not in names
    assert "PYTEST_CURRENT_TEST" in os.environ


def test_ready_when_the_port_answers(supervisor: Supervisor, tmp_path: Path) -> None:
    """A process with a port is ready when the port accepts connections, not before."""
    port = free_port()
    argv = ("python", "-m", "http.server", str(port), "--bind", "127.0.0.1", "--directory", str(tmp_path))
    supervisor.start(Process("site", argv, stop_rank=1, ready_port=port))
    assert supervisor.ended() == []


def test_never_ready(supervisor: Supervisor, notes: Path) -> None:
    """A process that isn't ready in time is named, with the end of its log."""
    with pytest.raises(ChildFailed, match=r"(?s)plain is not ready after 0 s.*ready"):
        supervisor.start(child("plain", notes, text="never said"), ready_within=0.4)


def test_fails_at_the_start(supervisor: Supervisor, notes: Path) -> None:
    """A process that ends at the start is named, with its exit code and its reason."""
    with pytest.raises(ChildFailed, match=r"(?s)fails ended with code 1.*no such table: payments"):
        supervisor.start(child("fails", notes))


def test_a_job_runs_to_its_end(supervisor: Supervisor, notes: Path) -> None:
    """A job that ends well is waited for; one that fails is named with its reason."""
    supervisor.run(Process("job", ("python", "-c", "print(7)"), stop_rank=0))
    with pytest.raises(ChildFailed, match=r"(?s)fails ended with code 1.*no such table: payments"):
        supervisor.run(child("fails", notes))


def test_stops_in_order(supervisor: Supervisor, notes: Path) -> None:
    """The lower rank has drained before the next one is asked; equal ranks drain side by side."""
    supervisor.start(child("third", notes, rank=3), child("first", notes, rank=1), child("second", notes, rank=2))
    supervisor.stop()
    expected = ["first asked", "first drained", "second asked", "second drained", "third asked", "third drained"]
    assert lines(notes) == expected


def test_stubborn_child_is_killed(supervisor: Supervisor, notes: Path, tmp_path: Path, said: list[str]) -> None:
    """A child that doesn't end within its time is killed, and that is said."""
    supervisor.start(child("stubborn", notes, drain=0.3))
    pid = pid_of(tmp_path / "home", "stubborn")
    supervisor.stop()
    assert pids.birth(pid) is None
    assert said == ["stubborn did not end within 0 s; killing it"]


def test_grandchildren_end_too(supervisor: Supervisor, notes: Path) -> None:
    """What a child started and left behind ends with it."""
    supervisor.start(child("parent", notes))
    grandchild = int(lines(notes)[0])
    assert pids.birth(grandchild) is not None
    supervisor.stop()
    eventually(lambda: pids.birth(grandchild) is None)


def test_stops_nothing_else(supervisor: Supervisor, notes: Path) -> None:
    """A process that the supervisor didn't start goes on."""
    with subprocess.Popen(["sleep", "20"]) as stranger:
        supervisor.start(child("plain", notes))
        supervisor.stop()
        assert stranger.poll() is None
        stranger.kill()


def test_ended_child_is_reported_once(supervisor: Supervisor, notes: Path, tmp_path: Path) -> None:
    """A child that ends is reported with its cause, once, and not started again."""
    supervisor.start(child("plain", notes))
    assert supervisor.ended() == []
    os.kill(pid_of(tmp_path / "home", "plain"), signal.SIGKILL)
    news: list[Ended] = []

    def reported() -> bool:
        news.extend(supervisor.ended())
        return bool(news)

    eventually(reported)
    assert str(news[0]).startswith("plain was killed by signal 9; the end of ")
    assert supervisor.ended() == []
    assert (tmp_path / "home" / "log" / "plain.log").read_text() == "ready\n"


def test_ctrl_c_lets_children_drain(tmp_path: Path, notes: Path) -> None:
    """Ctrl-C once: the child ends what it has begun."""
    with supervised(tmp_path, "plain", notes) as process:
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0
    assert lines(notes) == ["plain asked", "plain drained"]


def test_ctrl_c_twice_hurries(tmp_path: Path, notes: Path) -> None:
    """Ctrl-C twice: a child that would drain for long is killed at once."""
    with supervised(tmp_path, "slow", notes) as process:
        pid = pid_of(tmp_path / "home", "slow")
        process.send_signal(signal.SIGINT)
        eventually(lambda: lines(notes) == ["slow asked"])
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0
    assert pids.birth(pid) is None
    assert lines(notes) == ["slow asked"]


def test_ctrl_c_interrupts_once() -> None:
    """A second Ctrl-C, however early, does not interrupt the end that the first one began."""
    with watched_interrupts() as interrupts:
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        assert not interrupts.hurry()
        signal.raise_signal(signal.SIGTERM)
        interrupts.begin_the_end()
        assert interrupts.hurry()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_ctrl_c_after_the_work_hurries() -> None:
    """Once the end has begun by itself, Ctrl-C hurries it and interrupts nothing."""
    with watched_interrupts() as interrupts:
        interrupts.begin_the_end()
        assert not interrupts.hurry()
        signal.raise_signal(signal.SIGINT)
        assert interrupts.hurry()


def test_leftovers_of_a_killed_supervisor(tmp_path: Path, notes: Path, supervisor: Supervisor, said: list[str]) -> None:
    """After kill -9 of the supervisor the next one lets its children drain and end."""
    with supervised(tmp_path, "plain", notes) as process:
        pid = pid_of(tmp_path / "home", "plain")
        process.kill()
    assert pids.birth(pid) is not None
    supervisor.end_leftovers()
    assert pids.birth(pid) is None
    assert lines(notes) == ["plain asked", "plain drained"]
    assert said == [f"Stopping plain (process {pid}), which an earlier run left running ..."]
    supervisor.end_leftovers()
    assert len(said) == 1


def test_stranger_with_the_pid_of_a_leftover(tmp_path: Path, supervisor: Supervisor, said: list[str]) -> None:
    """A pid that now belongs to another process is left alone."""
    (tmp_path / "home").mkdir()
    with subprocess.Popen(["sleep", "20"]) as stranger:
        entry = {"name": "plain", "pid": stranger.pid, "born": "earlier", "drain": 1}
        (tmp_path / "home" / "processes.json").write_text(json.dumps([entry]))
        supervisor.end_leftovers()
        assert stranger.poll() is None
        stranger.kill()
    assert said == []
