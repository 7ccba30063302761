"""`defray schedule`, `hold`, `unhold`, `move` and `pay --on`, each over the real command."""

from __future__ import annotations

import json
import re
import shlex
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Final

from cli.main import defray
from tasks import schedule as task
from tests.cli.conftest import Desk
from tests.flows.house import VISA
from tests.flows.test_schedules import today, until_day

PAGE: Final = Path(__file__).parents[2] / "docs" / "schedules.md"
CARD: Final = json.dumps({"number": VISA, "expiry": "12/39", "name": "Ann Example"})
BY: Final = ("--by", "sue")
WHY: Final = ("--reason", "asked to", *BY)
DAY: Final = timedelta(days=1)


def kept(desk: Desk, customer: str = "C-1") -> None:
    """A customer who let the office keep a card, and owes."""
    desk.house.bill(customer, {"A": 500, "B": 9_000})
    asked = ("--customer", customer, "--method", "credit_card", "--amount", "5.00", "--invoice", "A")
    said = desk.run("pay", *asked, "--keep-card", "--no-wait", given=CARD)
    assert said.exit_code == 0, said.output
    desk.house.work()


def test_a_schedule_from_its_beginning_to_its_end(desk: Desk) -> None:
    """Made, run, skipped, paused, resumed, stopped; each answer says where it stands."""
    kept(desk)
    first = today(desk.house)
    asked = ("schedule", "create", "--customer", "C-1", "--amount", "10.00", "--unit", "week", "--key", "s-1", *BY)
    made = desk.ask(*asked)
    number = made["schedule"]["id"]
    assert (made["new"], made["schedule"]["next_on"]) == (True, first.isoformat())
    assert desk.ask(*asked)["new"] is False
    assert task.work(desk.house.context) == "schedules: 1 payments"
    desk.house.work()
    assert f"next on {first + 7 * DAY}" in desk.run("schedule", "show", number).stdout
    assert [run["outcome"] for run in desk.ask("schedule", "show", number)["runs"]] == ["payment"]
    assert desk.ask("schedule", "skip", number, *WHY)["next_on"] == (first + 14 * DAY).isoformat()
    assert desk.ask("schedule", "pause", number, *WHY)["state"] == "paused"
    assert "paused: asked to" in desk.run("schedule", "list").stdout
    assert desk.ask("schedule", "resume", number, *BY)["state"] == "active"
    assert desk.ask("schedule", "stop", number, *WHY)["state"] == "ended"
    assert desk.run("schedule", "resume", number, *BY).exit_code == 1
    assert [one["id"] for one in desk.ask("schedule", "list", "--customer", "C-1")] == [number]


WRONG: Final = (
    (("--customer", "C-1", "--amount", "1.00", "--card", "9999"), "no such card is kept"),
    (("--customer", "C-9", "--amount", "1.00"), "There is no customer C-9"),
    (("--customer", "C-1"), "amount: missing"),
    (("--customer", "C-1", "--all-owed", "--amount", "1.00"), "given beside all_owed"),
    (("--customer", "C-1", "--amount", "1.00", "--month-day", "32"), "from 1 to 31"),
)


def test_what_a_schedule_is_refused_for(desk: Desk) -> None:
    """Every fault says how to mend it."""
    kept(desk)
    for words, said in WRONG:
        refused = desk.run("schedule", "create", *words, *BY)
        assert (refused.exit_code, said in refused.stderr) == (1, True), refused.output


def test_a_payment_of_a_later_day(desk: Desk) -> None:
    """R13: `pay --on` does not wait for the outcome; `move` and `cancel` work until the day."""
    desk.house.bill("C-1", {"A": 500})
    day = today(desk.house) + 2 * DAY
    asked = ("pay", "--customer", "C-1", "--method", "credit_card", "--amount", "5.00", "--on", day.isoformat())
    payment = desk.ask(*asked, given=CARD)["payment"]["payment_id"]
    assert f"is planned for {day}" in desk.run("explain", payment).stdout
    later = (day + DAY).isoformat()
    assert f"is planned for {later}" in desk.run("move", payment, "--on", later, *BY).stdout
    until_day(desk.house, day + DAY)
    desk.house.work()
    assert desk.house.state(payment) == "posted"
    assert desk.run("move", payment, "--on", later, *BY).exit_code == 1
    assert desk.run("move", payment, "--on", "soon", *BY).exit_code == 1


def test_a_hold(desk: Desk) -> None:
    """A hold is told of when somebody pays all the same; lifting it says what waited."""
    kept(desk)
    assert "On hold until it is lifted: asked to (sue" in desk.run("hold", "C-1", *WHY).stdout
    token = desk.house.row("SELECT token FROM kept_cards").token
    waits = desk.house.pay(100, card_token=token, invoices=["B"])
    desk.house.work()
    assert desk.house.state(waits) == "requested"
    asked = ("--customer", "C-1", "--method", "credit_card", "--amount", "2.00", "--card-token", token)
    said = desk.run("pay", *asked, "--allow-overlap", "--no-wait", *BY)
    assert (said.exit_code, "On hold until it is lifted: asked to" in said.stderr) == (0, True)
    assert desk.ask("unhold", "C-1", *BY)["waited"] == 1
    desk.house.work()
    assert desk.house.state(waits) == "posted"
    assert desk.run("unhold", "C-1", *BY).exit_code == 1
    assert desk.run("hold", "C-1", "--until", "2020-01-01", *WHY).exit_code == 1


def commands() -> list[str]:
    blocks = re.findall(r"```sh\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S)
    whole = "".join(blocks).replace("\\\n", " ")
    return [line for line in whole.splitlines() if line.startswith("defray ")]


def test_every_command_of_the_page(desk: Desk) -> None:
    """docs/schedules.md: each command does what the page says, in the order of the page, and all verbs are there."""
    kept(desk, "C-1001")
    days = {"2027-01-15": 20, "2027-01-22": 27, "2026-12-31": 9}
    shown: dict[str, Any] = {}
    for line in commands():
        words = [_day(desk, days, word) for word in shlex.split(line)[1:]]
        words = [
            _id(desk, words[0], word) if word.isdigit() and place < 3 else word for place, word in enumerate(words)
        ]
        said = desk.run(*words, given=CARD if words[0] == "pay" else "")
        assert said.exit_code == 0, f"{line}: {said.output}"
        shown[" ".join(words[:2])] = said.stdout
    verbs = {f"schedule {name}" for name in getattr(defray.commands["schedule"], "commands", {})}
    assert verbs <= set(shown)
    assert {"pay", "move", "hold", "unhold", "cancel"} <= {name.split()[0] for name in shown}


def _id(desk: Desk, verb: str, word: str) -> str:
    """The page's ids begin at 1; those of a database that others used before, somewhere."""
    rows = desk.house.rows(f"SELECT id FROM {'schedules' if verb == 'schedule' else 'payments'} ORDER BY id")
    return str(rows[int(word) - 1].id)


def _day(desk: Desk, days: dict[str, int], word: str) -> str:
    """The page's days, as far from today as they were when it was written."""
    return (today(desk.house) + days[word] * DAY).isoformat() if word in days else word


def test_days_of_the_page_are_days() -> None:
    """They are real ones."""
    assert [date.fromisoformat(word) for line in commands() for word in shlex.split(line) if word.startswith("20")]
