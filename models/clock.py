"""The one clock (D2): the database's own, moved by an offset that is zero everywhere but in tests."""

from __future__ import annotations

from sqlalchemy import Boolean, CheckConstraint, Column, Interval, Table, text

from models import metadata

clock = Table(
    "clock",
    metadata,
    Column("only_row", Boolean, primary_key=True, server_default=text("true")),
    Column("ahead", Interval, nullable=False, server_default=text("'0'")),
    CheckConstraint("only_row", name="one_row"),
)
"""One row: how far Defray's time is ahead of the server's. `defray doctor` refuses anything but zero outside tests."""
