"""Issue 4, the books of people: an admin is always left, and two at once cannot both be the last to go."""

from __future__ import annotations

import threading

import pytest
from sqlalchemy import Engine, text

from books import clock, guesses, people, sessions
from rules.errors import MoveRefused, NotFound
from rules.people import Role


def hire(engine: Engine, **roles: Role) -> None:
    with engine.begin() as conn:
        for name, role in roles.items():
            people.add(conn, name, "a hash", role, clock.now(conn), "test")


def test_the_last_admin_stays(engine: Engine) -> None:
    """The only admin who may log in is neither let out nor given a lower role; with another one they are."""
    hire(engine, ada=Role.ADMIN, eve=Role.ADMIN, sue=Role.SUPERVISOR)
    with engine.begin() as conn:
        now = clock.now(conn)
        people.disable(conn, "eve", now, "test")
        with pytest.raises(MoveRefused):
            people.disable(conn, "ada", now, "test")
        with pytest.raises(MoveRefused):
            people.appoint(conn, "ada", Role.CLERK, now, "test", void_limit_minor=None, refund_limit_minor=None)
        people.appoint(conn, "sue", Role.ADMIN, now, "test", void_limit_minor=None, refund_limit_minor=None)
        people.disable(conn, "ada", now, "test")


def test_two_admins_who_shut_each_other_out(engine: Engine) -> None:
    """At the same moment one of them stays."""
    hire(engine, ada=Role.ADMIN, eve=Role.ADMIN)
    start, refused = threading.Barrier(2), []

    def shut_out(name: str) -> None:
        with engine.begin() as conn:
            start.wait(timeout=10)
            try:
                people.disable(conn, name, clock.now(conn), "test")
            except MoveRefused:
                refused.append(name)

    threads = [threading.Thread(target=shut_out, args=(name,)) for name in ("ada", "eve")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=20)
    with engine.begin() as conn:
        assert conn.execute(text("SELECT count(*) FROM users WHERE active")).scalar() == 1
    assert len(refused) == 1


def test_nobody(engine: Engine) -> None:
    """Who is not there is not changed."""
    with engine.begin() as conn:
        now = clock.now(conn)
        for change in (people.disable, people.enable, people.no_two_factor):
            with pytest.raises(NotFound):
                change(conn, "nobody", now, "test")


def test_a_code_counts_once(engine: Engine) -> None:
    """Of two that bring the same code one is let in; a reset in between makes it worth nothing."""
    hire(engine, ann=Role.CLERK)
    second = people.SecondFactor("kek", b"sealed", 100)
    with engine.begin() as conn:
        now = clock.now(conn)
        people.set_two_factor(conn, "ann", second, now, "ann")
        with pytest.raises(MoveRefused):
            people.set_two_factor(conn, "ann", second, now, "ann")
        assert not people.use_code(conn, "ann", second, 100)
        assert people.use_code(conn, "ann", second, 101)
        assert not people.use_code(conn, "ann", second, 101)
        people.no_two_factor(conn, "ann", now, "ada")
        assert not people.use_code(conn, "ann", second, 102)


def test_a_session_is_completed_once(engine: Engine) -> None:
    """The second factor turns a session into one that acts, under a new token; the old token is nothing any more."""
    hire(engine, ann=Role.CLERK)
    with engine.begin() as conn:
        now = clock.now(conn)
        ann = people.named(conn, "ann").user
        sessions.open_session(conn, "half", ann, now, second_factor_due=True)
        found = sessions.session(conn, "half", now)
        assert found
        assert found.second_factor_due
        assert sessions.of_user(conn, ann, "half", now) == []
        assert sessions.complete(conn, "half", "whole", ann, now)
        assert not sessions.complete(conn, "half", "other", ann, now)
        assert not sessions.complete(conn, "whole", "other", ann, now)
        assert sessions.session(conn, "half", now) is None
        assert [one.here for one in sessions.of_user(conn, ann, "whole", now)] == [True]


def test_guesses_at_once_are_all_counted(engine: Engine) -> None:
    """However many come at the same moment, no more are looked at than the limit says."""
    start, let_through = threading.Barrier(12), []

    def guess() -> None:
        with engine.begin() as conn:
            start.wait(timeout=10)
            if guesses.attempt_inside(conn, "ann", clock.now(conn)) is not None:
                let_through.append(1)

    threads = [threading.Thread(target=guess) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=20)
    assert len(let_through) == guesses.OF_SOMEBODY_INSIDE
