"""Statements of steps that run outside a transaction: each may be cut off anywhere, and is then done again.

A step that uses them says `outside_a_transaction = True` and does nothing else. Building an index this way waits for
the transactions that are open, but nobody waits for it.
"""

from __future__ import annotations

from typing import Final

from alembic import op
from sqlalchemy import text

_IS_VALID: Final = text("""
    SELECT i.indisvalid FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
    WHERE c.relname = :name AND c.relnamespace = CAST(current_schema() AS regnamespace)""")


def create_index(name: str, on: str, unique: bool = False) -> None:
    """Build an index without blocking writers; `on` is what follows ON, such as "payments (state) WHERE ...".

    What a crash left behind as an invalid index is dropped and built anew. Raises IntegrityError where the rows do not
    fit a unique one.
    """
    standing = is_valid(name)
    if standing is False:
        op.execute(f"DROP INDEX CONCURRENTLY {name}")
    if not standing:
        op.execute(f"CREATE {'UNIQUE ' if unique else ''}INDEX CONCURRENTLY {name} ON {on}")


def drop_index(name: str) -> None:
    """Drop an index that no release in use needs, without blocking anybody."""
    op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")


def is_valid(name: str) -> bool | None:
    """Whether the index can be used; None where there is none."""
    found: bool | None = op.get_bind().execute(_IS_VALID, {"name": name}).scalar_one_or_none()
    return found
