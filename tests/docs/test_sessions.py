"""Issue 9, item 9: the sessions on the pages for operators are typed here, and say what the pages show."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Final

import pytest

from sandbox import client
from sandbox.client import SandboxProcess, close
from tests.cli.conftest import Desk, desk
from tests.cli.test_quarantine import report
from tests.docs.test_commands import EVERY, PROJECT, blocks
from tests.flows.conftest import house, sandbox, sandbox_process
from tests.flows.house import all_at, build, card, settings_for
from tests.vault.test_rotation import settle
from tests.webhooks.conftest import complete

__all__ = ["desk", "house", "report", "sandbox", "sandbox_process"]

VARIES: Final = re.compile(
    r"\d{4}-\d\d-\d\d(?: \d\d:\d\d)?|defray-\d{8}T[\d.]+Z|kek-[0-9a-f]{8}|(?<=[Rr]eport )\d+"
    r"|\d[\d,]*(?= (?:events?|of [a-z]))| {2,}"
)
"""What is another at each run: times, names of archives and keys, numbers of reports, counts of rows, and the width of
columns."""

OF_A_SALE: Final = re.compile(r"(?<=_)[0-9a-f]{20,}|\b\d{19}\b")
"""Stripe's ids and our reference in a line of its report."""
WHY: Final = (
    "the database is behind what was seen outside it: gateway transaction 9120 and event 61204 were there,"
    " and the newest here are 8411 and 55873"
)
"""Stands on the page for the reason that the story gives."""


@dataclass(frozen=True)
class Session:
    """A page's commands with what it shows of each, and what stands here for a word of the page."""

    page: str
    desk: Desk
    here: dict[str, str] = field(default_factory=dict)

    def steps(self) -> Iterator[tuple[str, list[str]]]:
        """Each command, and the lines below it."""
        typed = "".join(text for language, text in blocks(PROJECT / self.page) if language == "console")
        steps = re.findall(r"^\$ (.+)\n((?:(?!\$ ).*\n)*)", re.sub(r" *\\\n *", " ", typed), re.MULTILINE)
        assert steps
        for command, shown in steps:
            yield command, [line for line in shown.splitlines() if line not in {"", "..."}]

    def type(
        self,
        before: Mapping[str, Callable[[], object]] = MappingProxyType({}),
        given: Mapping[str, str] = MappingProxyType({}),
        found: Collection[str] = (),
    ) -> None:
        """Type all of it: `before` a command something happens, `given` answers its question, if `found` its code is 1.

        Commands are named by how they begin. Every line that the page shows is said, but for what varies.
        """
        left = {*before, *given, *found}
        for command, shown in self.steps():
            begins = next((one for one in left if command.startswith(one)), "")
            left.discard(begins)
            before.get(begins, lambda: None)()
            code, said = self._typed(command, given.get(begins, ""))
            assert code == (1 if begins in found else 0), f"{command}\n{said}"
            of_the_page = {stands: word for word, stands in self.here.items()}
            told = VARIES.sub("…", _replaced(said, of_the_page)).splitlines()
            for line in shown:
                assert VARIES.sub("…", line) in told, f"{command}\n{said}"
        assert not left

    def _typed(self, command: str, given: str) -> tuple[int, str]:
        command = _replaced(command, self.here)
        if not command.startswith("defray "):
            done = subprocess.run(["sh", "-ec", command], capture_output=True, text=True, check=False)
            return done.returncode, done.stdout
        line, _, file = command.partition(" > ")
        said = self.desk.run(*shlex.split(line)[1:], given=given)
        if file:
            Path(file).write_text(said.stdout)
        return said.exit_code, said.output


def _replaced(text: str, words: Mapping[str, str]) -> str:
    """Each word by the one that stands for it."""
    for word, by in words.items():
        text = re.sub(rf"(?<!\w){re.escape(word)}(?!\w)", by.replace("\\", r"\\"), text)
    return text


def test_retention(desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows leave for an archive that can be read, and a customer for good, again after a restore."""
    monkeypatch.chdir(tmp_path)
    house = desk.house
    house.bill("C-1001", {"A": 500})
    paid = house.pay(500, card(), customer="C-1001", notes="Hazel's")
    house.work()
    complete(house)
    house.advance(days=401)

    def restore() -> None:
        assert house.payment(paid).notes != "Hazel's"
        house.do("UPDATE payments SET notes = 'Hazel''s' WHERE id = :id", id=paid)

    here = {"/backup/defray": str(tmp_path / "backup"), "1042": str(paid)}
    Session("docs/retention.md", desk, here).type({"defray erase --again": restore}, {"defray erase C": "C-1001\n"})
    assert house.payment(paid).notes != "Hazel's"
    assert house.rows("SELECT 1 FROM events WHERE payment_id = :id AND what = 'payment.posted'", id=paid) == []


def test_reconcile(
    desk: Desk,
    sandbox: SandboxProcess,
    database_url: str,
    redis_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """B2: a report has a line of each group that the page tells of, and each is shown as the page does."""
    monkeypatch.chdir(tmp_path)
    stripe = all_at("stripe", sandbox)
    desk.environment.update(stripe)
    settings = settings_for(sandbox, database_url, redis_url, desk.environment["DEFRAY_KEY_FILE"], **stripe)
    house = build(desk.house.engine, settings, sandbox)
    ids = {}
    for minor in (1000, 4000, 5000, 3050, 2000, 1500):
        house.bill(f"C-{minor}", {"A": minor})
        if minor == 5000:
            sandbox.client.scenario(after=[close()], operation="sale")
        ids[minor] = str(house.pay(minor, card(), customer=f"C-{minor}"))
        house.charge()
        if minor in {1000, 2000}:
            house.advance(hours=2)  # an hour from either end of a report nothing is missed
    house.context.wake.close()
    sandbox.client.settle()
    head, first, unknown_here, lost, differs, missing_there, *rest = (
        sandbox.client.report("stripe").decode().splitlines()
    )
    assert ",20.00," in missing_there
    told = [head, first, OF_A_SALE.sub("1" + "0" * 18, unknown_here), lost, differs.replace("30.50", "30.00"), *rest]
    Path("payout.csv").write_text("\n".join(told))
    here = {"4708": ids[4000], "4711": ids[5000], "4725": ids[3050], "4730": ids[2000]}
    Session("docs/reconcile.md", desk, here).type(found={"defray reconcile"})


def test_restore(desk: Desk, report: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """E7: from the quarantine to the release: what was charged since the backup is adopted, and not charged again."""
    monkeypatch.chdir(report.parent)
    house, charged = desk.house, desk.house.sandbox.client.charges()
    waits = house.row("SELECT id FROM payments WHERE idempotency_key = 'waits'").id
    desk.environment.update(all_at("payflow", house.sandbox))
    session = Session("docs/restore.md", desk, {"4711": str(waits), WHY: "rehearsed"})

    def read() -> None:
        session.here["adopt 12"] = f"adopt {house.row('SELECT max(id) AS id FROM reports').id}"

    yes = dict.fromkeys(("defray reconcile", "defray quarantine release"), "y\n")
    session.type({"defray adopt": read}, yes, found=("defray quarantine", "defray reconcile"))
    house.work()
    assert house.sandbox.client.charges() == charged


def test_security(desk: Desk) -> None:
    """C1: a new key takes the old one's place, and the old one goes a minute later."""
    desk.house.bill("C-1", {"A": 500})
    desk.house.pay(500, card())
    here = {"/etc/defray/keys.json": desk.environment["DEFRAY_KEY_FILE"]}
    minute_later = {"defray vault retire": lambda: settle(desk)}
    Session("docs/security.md", desk, here).type(minute_later, {"defray vault retire": "y\n"})
    assert sorted(key["state"] for key in desk.ask("vault", "status")["keys"]) == ["current", "retired"]
    desk.house.work()
    assert desk.house.invoices() == {"A": ("paid", 0)}


def test_sandbox(tmp_path: Path) -> None:
    """The sandbox starts with the options that its README names, and the first sale by hand is approved and counted."""
    if not shutil.which("curl"):
        pytest.skip("no curl")
    _, start, sale, charges = (one.line for one in EVERY if one.page == "sandbox/README.md")
    options = dict(re.findall(r"--([a-z-]+)(?: (\w\S*))?", start))
    port, state = options.pop("port"), tmp_path / options.pop("state")
    more: dict[str, str | bool] = {name.replace("-", "_"): value or True for name, value in options.items()}
    with client.start(0, (), state=state, **more) as started:
        for command, says in ((sale, "RESULT=0&"), (charges, '"charged": 11850')):
            here = command.replace(f"http://127.0.0.1:{port}", started.base_url)
            assert here != command
            done = subprocess.run(["sh", "-ec", here], capture_output=True, text=True, timeout=60, check=True)
            assert says in done.stdout
    assert state.exists()
