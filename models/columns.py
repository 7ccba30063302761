"""Column types that recur: identities, money, moments, texts."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, Column, DateTime, Identity, Text, text


def identity() -> Column[int]:
    """A primary key drawn by the database."""
    return Column("id", BigInteger, Identity(always=False), primary_key=True)


def minor(name: str, *args: Any, nullable: bool = False, default: str | None = None) -> Column[int]:
    """Money in minor units of the row's currency."""
    return Column(name, BigInteger, *args, nullable=nullable, server_default=text(default) if default else None)


def moment(name: str, nullable: bool = True) -> Column[Any]:
    """A point in time, UTC."""
    return Column(name, DateTime(timezone=True), nullable=nullable)


def words(name: str, *args: Any, nullable: bool = False, default: str | None = None) -> Column[str]:
    """A text; ordered by code point, so that an order is the same on every server."""
    return Column(name, Text(collation="C"), *args, nullable=nullable, server_default=default)
