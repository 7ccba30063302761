"""Issue 4: `defray users` makes the first admin, and keeps passwords out of sight."""

from __future__ import annotations

from pathlib import Path

from books import clock, passwords, people
from cli import main_job, sample_people
from local.up import Running
from tests.cli.conftest import Desk
from tests.flows.house import House

PASSWORD = "correct horse battery"


def kept(house: House, name: str) -> str:
    [row] = house.rows("SELECT password_hash FROM users WHERE name = :name", name=name)
    return str(row.password_hash)


def test_somebody_from_first_to_last_day(desk: Desk) -> None:
    """Added with a role and limits, listed, given a new password, let in no more; each with who did it."""
    assert desk.ask("users", "list") == []
    limits = ("--void-limit", 5000, "--refund-limit", 300)
    assert desk.ask("users", "add", "Sue", "--role", "supervisor", *limits, given=f"{PASSWORD}\n") == {
        "name": "sue",
        "role": "supervisor",
    }
    [sue] = desk.ask("users", "list")
    assert (sue["name"], sue["role"], sue["void_limit_minor"], sue["refund_limit_minor"], sue["active"]) == (
        "sue",
        "supervisor",
        5000,
        300,
        True,
    )
    assert passwords.verifies(PASSWORD, kept(desk.house, "sue"))
    desk.ask("users", "password", "sue", given="another long one\n")
    assert not passwords.verifies(PASSWORD, kept(desk.house, "sue"))
    desk.ask("users", "disable", "sue", "--by", "ada")
    assert desk.ask("users", "list")[0]["active"] is False
    desk.ask("users", "enable", "sue", "--by", "ada")
    assert desk.ask("users", "list")[0]["active"] is True
    events = desk.house.rows("SELECT what, by FROM events WHERE what LIKE 'user.%' ORDER BY id")
    assert [one.what for one in events] == ["user.added", "user.password_set", "user.disabled", "user.enabled"]
    assert events[-1].by == "ada"
    assert "sue" in desk.run("users", "list").stdout


def test_lost_phone(desk: Desk) -> None:
    """Who lost their phone logs in without a code again; that is recorded."""
    desk.ask("users", "add", "ann", given=f"{PASSWORD}\n")
    with desk.house.engine.begin() as conn:
        now = clock.now(conn)
        people.set_two_factor(conn, "ann", people.SecondFactor("kek-1", b"sealed", 1), now, "ann")
    assert desk.ask("users", "list")[0]["two_factor"] is True
    assert desk.ask("users", "reset-two-factor", "Ann", "--by", "ada") == {"name": "ann", "two_factor": False}
    assert desk.ask("users", "list")[0]["two_factor"] is False
    [event] = desk.house.rows("SELECT why, by FROM events WHERE what = 'user.two_factor_off'")
    assert (event.why, event.by) == ("ann", "ada")
    assert "no user" in desk.run("users", "reset-two-factor", "bob").stderr


def test_the_last_admin_stays(desk: Desk) -> None:
    """The only admin is not let out."""
    desk.ask("users", "add", "ada", "--role", "admin", given=f"{PASSWORD}\n")
    assert "only admin" in desk.run("users", "disable", "ada").stderr


def test_refused(desk: Desk) -> None:
    """A short password, a name that is none or taken, somebody unknown: refused, and no password is repeated."""
    said = desk.run("users", "add", "ann", given="hunter2\n")
    assert said.exit_code == 1
    assert "7 characters long" in said.stderr
    assert "hunter2" not in said.output
    assert "not a user name" in desk.run("users", "add", "an n", given=f"{PASSWORD}\n").stderr
    desk.ask("users", "add", "ann", given=f"{PASSWORD}\n")
    assert "already" in desk.run("users", "add", "ann", given=f"{PASSWORD}\n").stderr
    assert "no user" in desk.run("users", "disable", "bob").stderr
    assert "no user" in desk.run("users", "password", "bob", given=f"{PASSWORD}\n").stderr


def test_log_ins_of_the_sample(desk: Desk, tmp_path: Path) -> None:
    """The sample has one log-in a role, drawn once, kept for the owner alone; a changed password is not shown."""
    from cli.reach import office
    from settings import load

    with office(load(desk.environment)) as at:
        first = sample_people.ready(at, "test")
        assert set(first) == {"clerk", "supervisor", "admin"}
        assert sample_people.ready(at, "test") == first
        file = at.settings.home / sample_people.FILE
        assert file.stat().st_mode & 0o077 == 0
        assert all(passwords.verifies(first[name], kept(desk.house, name)) for name in first)
        desk.ask("users", "password", "admin", given=f"{PASSWORD}\n")
        assert set(sample_people.ready(at, "test")) == {"clerk", "supervisor"}


def test_told_at_the_end(desk: Desk) -> None:
    """`defray up` says where the console is and who may log in."""
    running = Running(desk.environment, {"Console": "http://127.0.0.1:8000/"}, list)
    words = "\n".join(main_job._console(running, {"clerk": "abc"}))
    assert "http://127.0.0.1:8000/" in words
    assert "clerk" in words
    assert "abc" in words
