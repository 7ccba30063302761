"""A group is written together, else row by row; where the connection is lost there is nothing to try it on."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import OperationalError

from books import apart


def test_a_lost_connection_is_no_rows_fault(engine: Engine) -> None:
    """Section 3: no row is tried alone, or set aside, on a connection that is gone: what was lost is told as it is."""
    written: list[Sequence[int]] = []
    aside: list[int] = []
    with pytest.raises(OperationalError), engine.begin() as conn:

        def write(rows: Sequence[int]) -> None:
            written.append(rows)
            conn.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))

        apart.each(conn, [1, 2], write, lambda row, _: aside.append(row))
    assert (written, aside) == ([[1, 2]], [])
