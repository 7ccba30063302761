"""How an edge works with the books: transactions and readings, each with its moment by the database's clock."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Engine

from books import clock
from books.terms import Terms
from models.engine import snapshot


class Desk:
    """What the web process and the command line have in common; each adds its own parts."""

    __slots__ = ()

    engine: Engine

    def terms(self) -> Terms:
        """What the books must know to record what a person says; nothing is sent by these terms."""
        raise NotImplementedError

    @contextmanager
    def transaction(self) -> Iterator[tuple[Connection, datetime]]:
        """One transaction with its moment; committed on leaving, rolled back on error."""
        with self.engine.begin() as conn:
            yield conn, clock.now(conn)

    @contextmanager
    def reading(self) -> Iterator[tuple[Connection, datetime]]:
        """One snapshot for several questions."""
        # Committed, though nothing was written: after a rollback the driver would forget its prepared statements.
        with snapshot(self.engine).begin() as conn:
            yield conn, clock.now(conn)

    @contextmanager
    def looking(self) -> Iterator[Connection]:
        """For a question or two that need neither one snapshot nor the moment."""
        with self.engine.begin() as conn:
            yield conn

    @property
    def zone(self) -> ZoneInfo:
        """Where the business has its days (R5)."""
        return self.terms().zone

    def today(self, now: datetime) -> date:
        """The business day of a moment (R5)."""
        return self.terms().today(now)
