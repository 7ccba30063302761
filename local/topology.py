"""Which processes Defray consists of: data, so that `defray up` and docker-compose.yml run the same commands."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from local.ports import LOOPBACK

FLOWER_PORT = 5555
WEB_PORT = 8000
SANDBOX_PORT = 8181


@dataclass(frozen=True)
class Place:
    """Where the processes run: their home folder, the address they listen on, their ports."""

    home: Path
    address: str = LOOPBACK
    flower_port: int = FLOWER_PORT
    web_port: int = WEB_PORT
    sandbox_port: int = SANDBOX_PORT


@dataclass(frozen=True)
class Process:
    """One program to be kept running.

    `argv` begins with `python`, which stands for the interpreter at hand. It is ready when its `ready_port`
    accepts connections, when its output says `ready_text`, or, with neither, as soon as it runs. Processes with
    a lower `stop_rank` are stopped earlier, each given `drain` seconds to end what it has begun.
    """

    name: str
    argv: tuple[str, ...]
    stop_rank: int
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    ready_port: int | None = None
    ready_text: str | None = None
    drain: float = 10.0


@dataclass(frozen=True)
class Queue:
    """A queue, and how many tasks of it run at once on one machine."""

    name: str
    concurrency: int


# A batch never makes a person wait, nor do the scheduled runs (DESIGN section 9), and a slow app or mail server nobody.
QUEUES = (Queue("interactive", 2), Queue("bulk", 2), Queue("scheduled", 1), Queue("outbound", 1))

WITHOUT_NEIGHBOURS = ("--without-mingle", "--without-gossip")
"""Workers need not know of each other; looking for each other left two handles open at every restart of Redis."""

_CELERY = ("python", "-m", "celery", "-A", "worker.app")


def migration() -> Process:
    """The job that brings the tables up to date; it ends by itself."""
    return Process("migrate", ("python", "-m", "cli", "migrate"), stop_rank=0)


def sandbox(place: Place) -> Process:
    """The gateways to try things with."""
    return Process(
        "sandbox",
        (
            *("python", "-m", "sandbox", "--host", place.address, "--port", str(place.sandbox_port)),
            *("--state", str(place.home / "sandbox.sqlite"), "--any-amount"),
        ),
        stop_rank=4,
        ready_port=place.sandbox_port,
    )


def worker(queue: Queue) -> Process:
    """The worker of one queue."""
    return Process(
        f"worker-{queue.name}",
        (
            *(*_CELERY, "worker", "--queues", queue.name, "--concurrency", str(queue.concurrency)),
            *("-n", f"{queue.name}@%h", *WITHOUT_NEIGHBOURS),
        ),
        stop_rank=2,
        ready_text=" ready.",
        drain=30.0,
    )


def beat(place: Place) -> Process:
    """The clock that starts the sweeper and the scheduled runs."""
    return Process(
        "beat",
        (*_CELERY, "beat", "--schedule", str(place.home / "beat-schedule")),
        stop_rank=1,
        ready_text="beat: Starting",
    )


def flower(place: Place, password_file: Path) -> Process:
    """The view of the workers. Its password is read from a file: arguments can be read by everybody."""
    return Process(
        "flower",
        ("python", "-m", "worker.flower", f"--address={place.address}", f"--port={place.flower_port}"),
        stop_rank=3,
        environment={"DEFRAY_FLOWER_PASSWORD_FILE": str(password_file)},
        ready_port=place.flower_port,
    )


def web(place: Place) -> Process:
    """The console for people; stopped first, so that nothing new comes in."""
    return Process(
        "web",
        ("python", "-m", "web"),
        stop_rank=0,
        environment={"DEFRAY_WEB_ADDRESS": place.address, "DEFRAY_WEB_PORT": str(place.web_port)},
        ready_port=place.web_port,
    )


def workers() -> tuple[Process, ...]:
    """One worker a queue."""
    return tuple(worker(queue) for queue in QUEUES)
