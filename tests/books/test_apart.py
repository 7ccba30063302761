"""A group is written together, else row by row; where the connection is lost there is nothing to try it on."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import OperationalError

from books import apart


def test_a_lost_connection_is_no_rows_fault(engine: Engine) -> None:
    """Section 3: no row is tried alone, or set aside, on a connection that is gone: what was lost is told as it is."""
    written: list[Sequence[int]] = []
    aside: list[int] = []
    with pytest.raises(OperationalError):
        _write_while_it_is_lost(engine, written, aside)
    assert (written, aside) == ([[1, 2]], [])


def _write_while_it_is_lost(engine: Engine, written: list[Sequence[int]], aside: list[int]) -> None:
    with engine.begin() as conn:
        apart.each(conn, [1, 2], lambda rows: _end(conn, rows, written), lambda row, _: aside.append(row))


def _end(conn: Connection, rows: Sequence[int], written: list[Sequence[int]]) -> None:
    written.append(rows)
    conn.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))
