"""What the planner would do with a question, for tests that hold that it reads no whole table."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection, TextClause, text

Said = tuple[str, Any]
"""A statement as the driver had it, with its parameters."""


def analyze(conn: Connection) -> None:
    """Let the planner know every table as it is now, whatever other tests or an autovacuum left of its statistics."""
    names = conn.scalars(text("SELECT quote_ident(tablename) FROM pg_tables WHERE schemaname = 'public'")).all()
    conn.execute(text(f"ANALYZE {', '.join(names)}"))


def fill_quickly(conn: Connection) -> None:
    """Let checks of foreign keys be planned anew: a kept connection has plans from when tables had a page."""
    conn.execute(text("DISCARD PLANS"))


def nodes(conn: Connection, question: TextClause, **asked: object) -> Iterator[dict[str, Any]]:
    """Every node of the plan of a question."""
    [plan] = conn.execute(text(f"EXPLAIN (FORMAT JSON) {question.text}"), asked).scalar_one()
    yield from _below(plan["Plan"])


def _below(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for part in node.get("Plans", ()):
        yield from _below(part)


def read_whole(conn: Connection, question: TextClause, **asked: object) -> set[str]:
    """The tables that would be read from their beginning to their end; an empty one is no matter."""
    return _filled(conn, {node["Relation Name"] for node in nodes(conn, question, **asked) if _seeks_all(node)})


def read_whole_by(conn: Connection, said: Said) -> set[str]:
    """The same of a statement that was caught on its way to the driver; one that walks a primary key, too."""
    statement, parameters = said
    [plan] = conn.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {statement}", parameters).scalar_one()
    found = _below(plan["Plan"])
    return _filled(conn, {node["Relation Name"] for node in found if _seeks_all(node) or _walks_all(node)})


def _filled(conn: Connection, names: set[str]) -> set[str]:
    return {name for name in names if conn.scalar(text(f'SELECT EXISTS (SELECT FROM "{name}")'))}


def _seeks_all(node: dict[str, Any]) -> bool:
    return bool(node["Node Type"] == "Seq Scan")


def _walks_all(node: dict[str, Any]) -> bool:
    """Whether it goes through all of a primary key for a condition of which that knows nothing."""
    return node.get("Index Name", "").startswith("pk_") and "Index Cond" not in node and "Filter" in node
