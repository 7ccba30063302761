"""Lists as they are given to set-based statements."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DataError

from models.engine import engine_for

NOW = datetime(2026, 3, 1, 12, 30, 15, 250, tzinfo=UTC)
LISTS: dict[str, list[Any]] = {
    "bigint": [7, None, -1, 2**62],
    "int": [1, None, 3],
    "text": ["a", "", None, "NULL", "a b", '"', "\\", "{x,y}", ",", "\n", "ü€😀", "None"],
    "boolean": [True, None, False],
    "date": [date(2026, 1, 31), None, date(2026, 1, 31)],
    "timestamptz": [NOW, NOW, None],
    "bytea": [b"\0\\'", None, b""],
    "interval": [NOW - NOW, None],
    "jsonb": ["1", None],
}


@pytest.mark.parametrize("kind", LISTS)
def test_a_list_comes_back_as_it_was_given(database_url: str, kind: str) -> None:
    """What set-based statements are given arrives item by item, whatever stands in a text."""
    ours = engine_for(database_url, "test arrays", connections=1)
    given: list[list[Any]] = [LISTS[kind], [None, None], []]
    try:
        with ours.begin() as conn:
            for items in given:
                question = text(
                    f"SELECT array_agg(v ORDER BY at) FROM unnest(CAST(:items AS {kind}[])) WITH ORDINALITY AS u(v, at)"
                )
                back = conn.execute(question, {"items": items}).scalar_one()
                assert [str(item) if kind == "jsonb" and item else item for item in back or []] == items
    finally:
        ours.dispose()


def test_no_nul_in_a_list(database_url: str) -> None:
    """A NUL among texts is refused, as it is in a text alone."""
    ours = engine_for(database_url, "test arrays", connections=1)
    try:
        with ours.begin() as conn, pytest.raises(DataError, match="NUL"):
            conn.execute(text("SELECT CAST(:items AS text[])"), {"items": ["a\0b"]})
    finally:
        ours.dispose()
