"""How a process reaches the database."""

from __future__ import annotations

from sqlalchemy import Engine, text

from models.engine import engine_for

PID = text("SELECT pg_backend_pid()")


def test_a_connection_that_ended(database_url: str, engine: Engine) -> None:
    """A connection that the server ended while it rested is not handed out; the next one works, and is kept."""
    ours = engine_for(database_url, "test engine", connections=1)
    try:
        with ours.begin() as conn:
            first = conn.execute(PID).scalar_one()
        with engine.begin() as conn:
            assert conn.execute(text("SELECT pg_terminate_backend(:pid, 10000)"), {"pid": first}).scalar_one()
        with ours.begin() as conn:
            second = conn.execute(PID).scalar_one()
        with ours.begin() as conn:
            assert conn.execute(PID).scalar_one() == second != first
    finally:
        ours.dispose()
