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
    return _whole(conn, nodes(conn, question, **asked))


def read_whole_by(conn: Connection, said: Said) -> set[str]:
    """The same of a statement that was caught on its way to the driver."""
    statement, parameters = said
    [plan] = conn.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {statement}", parameters).scalar_one()
    return _whole(conn, _below(plan["Plan"]))


def _whole(conn: Connection, found: Iterator[dict[str, Any]]) -> set[str]:
    whole = {node["Relation Name"] for node in found if _passes_over(node)}
    return {name for name in whole if conn.scalar(text(f'SELECT EXISTS (SELECT FROM "{name}")'))}


def _passes_over(node: dict[str, Any]) -> bool:
    """Whether a node looks at every row of a table, in any order: by a primary key that it asks for nothing, too."""
    in_order = node.get("Index Name", "").startswith("pk_") and "Index Cond" not in node and "Filter" in node
    return node["Node Type"] == "Seq Scan" or in_order
