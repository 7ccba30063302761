"""A process that may hold a card's number leaves no image of its memory on a disk when it crashes (C1)."""

from __future__ import annotations

import resource


def forbid() -> None:
    """Let this process, and whatever it starts, write no core dump, whatever the host allows; for good."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
