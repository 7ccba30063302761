"""A file that lies on the disk for as long as a parser reads it, and how it is refused."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rules.errors import DefrayError

NUMBER = "4111111111111111"


@contextmanager
def lying(content: bytes) -> Iterator[Path]:
    """The file's path."""
    with tempfile.NamedTemporaryFile(suffix=".csv") as file:
        file.write(content)
        file.flush()
        yield Path(file.name)


@contextmanager
def refused_in_words() -> Iterator[None]:
    """An input may be refused, by words without the card's number (C1)."""
    try:
        yield
    except DefrayError as refused:
        told = str(refused)
    else:
        return
    assert NUMBER not in told, "the refusal tells the card's number"
