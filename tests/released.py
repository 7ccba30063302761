"""What each release put into the world and later ones have to live with: messages in queues, and its last migration.

`python -m tests.released` writes the record of this release (pyproject.toml has its version), before it is tagged.
"""

from __future__ import annotations

import json
import sys
import tomllib
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, get_args

from alembic.script import ScriptDirectory

import celeryconfig
from models import migrate
from worker.wake import PaymentStep, ReversalStep, Wake

_RECORDS: Final = Path(__file__).with_name("worker") / "released"


@dataclass(frozen=True)
class Message:
    """A message as a release sends it."""

    task: str
    queue: str
    arguments: dict[str, Any]


@dataclass(frozen=True)
class Release:
    """One release: the last of its migrations, and an example of each message that it sends."""

    version: str
    head: str
    messages: tuple[Message, ...]


def _read(path: Path) -> Release:
    record = json.loads(path.read_text(encoding="utf-8"))
    return Release(path.stem, record["head"], tuple(Message(**one) for one in record["messages"]))


RELEASES: Final = tuple(
    sorted((_read(path) for path in _RECORDS.glob("*.json")), key=lambda one: tuple(map(int, one.version.split("."))))
)
"""Oldest first."""

FIRST: Final = RELEASES[0]


def versions() -> set[str]:
    """The versions that were released."""
    return {one.version for one in RELEASES}


class _Listening(Wake):
    def __init__(self) -> None:
        self.sent: list[Message] = []

    def _send(self, step: str, queue: str, calls: Iterable[dict[str, Any]]) -> bool:
        self.sent += [Message(f"defray.{step}", queue, arguments) for arguments in calls]
        return True


def messages() -> list[Message]:
    """An example of each message that this release sends."""
    wake = _Listening()
    for step in get_args(PaymentStep):
        wake.batch(7, step, 1)
        wake.payment(7, step)
        wake.singles(step)
    for some in (None, 7):
        wake.inquiries(some)
        wake.mails(some)
        for step in get_args(ReversalStep):
            wake.reversals(step, some)
    wake.notices()
    wake.schedules()
    wake.webhooks()
    by_beat = [
        Message(str(entry["task"]), celeryconfig.task_default_queue, {})
        for entry in celeryconfig.beat_schedule.values()
    ]
    return sorted([*wake.sent, *by_beat], key=str)


def _head() -> str:
    [head] = ScriptDirectory.from_config(migrate._config()).get_heads()
    return head


def _main() -> None:
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))
    version = project["project"]["version"]
    record = {"head": _head(), "messages": [asdict(one) for one in messages()]}
    (_RECORDS / f"{version}.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    sys.stdout.write(f"wrote the record of {version}\n")


if __name__ == "__main__":
    _main()
