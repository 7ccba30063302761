"""What the planner would do with a question, for tests that hold that it reads no whole table."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection, TextClause, text


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
    found = nodes(conn, question, **asked)
    whole = {node["Relation Name"] for node in found if node["Node Type"] == "Seq Scan"}
    return {name for name in whole if conn.scalar(text(f'SELECT EXISTS (SELECT FROM "{name}")'))}
