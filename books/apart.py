"""A group is written together; if the database refuses it, each row is tried alone, so that one stops no other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from rules.errors import MoveRefused

T = TypeVar("T")

_REFUSALS = (DBAPIError, MoveRefused, RuntimeError)


def each(
    conn: Connection, rows: Sequence[T], write: Callable[[Sequence[T]], None], set_aside: Callable[[T, str], None]
) -> None:
    """Write all rows within a savepoint, else each within one of its own; a refused row goes to `set_aside`.

    `set_aside` gets the row and the kind of error, never the error's text, which may hold what no log may show.
    Raises the error where the connection is lost with it: nothing can be tried on it any more.
    """
    try:
        with conn.begin_nested():
            write(rows)
    except _REFUSALS as error:
        if conn.invalidated:
            raise
        if len(rows) == 1:
            set_aside(rows[0], type(error).__name__)
            return
        for row in rows:
            each(conn, [row], write, set_aside)
