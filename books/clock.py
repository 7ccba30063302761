"""The time of a transaction: the database's, read once (D2)."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import cast

from sqlalchemy import Connection, text

_NOW = text("SELECT now() + ahead FROM clock")


def now(conn: Connection) -> datetime:
    """The moment at which this transaction began, aware UTC: the same however often it is asked."""
    return cast(datetime, conn.execute(_NOW).scalar_one())


_AHEAD = text("SELECT ahead FROM clock")


def ahead(conn: Connection) -> timedelta:
    """How far tests have moved the clock; nothing anywhere else."""
    return cast(timedelta, conn.execute(_AHEAD).scalar_one())
