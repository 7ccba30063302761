"""`defray archive`: what is old leaves for files, and what keeps a charge from being made twice stays (issue 9)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import IntegrityError, ProgrammingError

from books import archive, erase, webhooks
from cli import archive_files
from rules.errors import KeyReused
from sandbox.client import close
from tests.api.conftest import App, problem
from tests.books.plans import analyze, read_whole
from tests.cli.conftest import Desk
from tests.flows.house import VISA, House, card
from tests.webhooks.conftest import complete

PROJECT = Path(__file__).parents[2]
URL = "https://93.184.216.34/hooks"


def ids_in(folder: Path, table: str) -> list[int]:
    """The ids in all files of a table below a folder, in the order of the files."""
    return [
        row["delivery"]["id"] if table == "webhook_deliveries" else row["id"]
        for path in sorted(folder.glob(f"*/{table}-*.jsonl.gz"))
        for row in archive_files.read(path)
    ]


def ids_of(house: House, table: str) -> set[int]:
    """The ids that a table has."""
    return {row.id for row in house.rows(f"SELECT id FROM {table}")}


def test_what_is_archived_is_never_charged_again(desk: Desk, shop: App, tmp_path: Path) -> None:
    """E2, E5, R15: the old key still gives the first answer, a reference is never used again, the books still audit."""
    house = desk.house
    house.bill("C-1", {"A-1": 900, "A-2": 500, "A-3": 300})
    made = shop.made("/v1/webhook-endpoints", url=URL)
    asked: dict[str, Any] = {"idempotency_key": "the-first", "invoices": ["A-1"]}
    charged = house.pay(900, card(VISA), **asked)
    checked = shop.made("/v1/payments", key="by-check", **shop.check(500, "C-1", invoices=["A-2"]))
    house.work()
    house.sandbox.client.scenario(after=[close()], operation="sale")
    lost = house.pay(300, card(VISA), invoices=["A-3"])
    house.charge()
    assert house.sales(lost) == ["unknown"]
    house.sandbox.client.settle()
    report = tmp_path / "payflow.csv"
    report.write_bytes(house.sandbox.client.report("payflow"))
    complete(house)
    words = ["archive", "--older-than", "400d", "--to", tmp_path / "old"]
    assert desk.ask(*words)["events"] == 0
    house.advance(days=401)

    held = desk.ask("archive", "--older-than", "400d", "--dry-run")
    assert "was told up to event" in held["held_back_by"]
    with house.engine.begin() as conn:
        webhooks.fan_out(conn, house.row("SELECT now() AS now").now)
    house.do(
        """UPDATE webhook_deliveries SET state = 'delivered', next_step = NULL, due_at = NULL, ended_at = began_at"""
    )
    before = {table: ids_of(house, table) for table in ("events", "evidence", "webhook_deliveries")}
    last_told = max(before["webhook_deliveries"])

    would = desk.ask("archive", "--older-than", "400d", "--dry-run")
    assert ids_of(house, "events") == before["events"]
    moved = desk.ask(*words)
    for table, old in before.items():
        left = ids_of(house, table)
        gone = ids_in(tmp_path / "old", table)
        assert (moved[table], would[table]) == (len(gone), len(gone))
        assert gone
        assert set(gone) == old - left
        assert len(gone) == len(set(gone))
    assert last_told not in ids_in(tmp_path / "old", "webhook_deliveries")  # of the payment that is not final
    kept = house.rows("SELECT DISTINCT payment_id FROM events WHERE payment_id IS NOT NULL")
    assert {row.payment_id for row in kept} == {lost}
    assert house.rows("SELECT DISTINCT gateway_transaction_id FROM evidence") != []
    assert max(ids_of(house, "events")) > max(before["events"])  # which a restore is known by (E7)
    manifest = json.loads(Path(moved["manifest"]).read_text())
    for one in manifest["files"]:
        assert archive_files.digest_of(Path(moved["manifest"]).parent / one["name"]) == one["sha256"]
    assert "Nothing is to be archived" in desk.run(*words).stdout

    # The old keys, the old reference.
    assert house.pay(900, card(VISA), **asked) == charged
    with pytest.raises(KeyReused):
        house.pay(800, card(VISA), **asked)
    again = shop.post("/v1/payments", key="by-check", **shop.check(500, "C-1", invoices=["A-2"]))
    assert (again.json()["id"], again.headers["idempotent-replayed"]) == (checked["id"], "true")
    assert problem(shop.post("/v1/payments", key="by-check", **shop.check(400, "C-1", invoices=["A-2"])))[0] == 409
    columns = "payment_id, gateway, account, amount_minor, currency, send_until, started_at"
    again_sent = f"""INSERT INTO gateway_transactions (operation, reference, state, {columns})
        SELECT 'sale', {{}}, {columns} FROM gateway_transactions WHERE payment_id = :id"""
    with pytest.raises(IntegrityError, match="uq_gateway_transactions_reference"):
        house.do(again_sent.format("reference, 'failed'"), id=charged)
    with pytest.raises(IntegrityError, match="uq_gateway_transactions_one_live_sale"):
        house.do(again_sent.format("reference + 1, 'started'"), id=charged)
    assert house.sandbox.client.card(VISA).charged == 2

    # What tells of it.
    assert moved["manifest"] in desk.run("explain", charged).stdout
    assert desk.ask("explain", lost)["archives"] == []
    assert desk.ask("audit") == {"passed": True, "invariants": 20, "findings": [], "archives": [moved["manifest"]]}
    assert f"{manifest['name']}/manifest.json" in desk.run("audit").stdout
    assert [one["state"] for one in desk.ask("archive", "--list")] == ["done"]
    compared = desk.ask("reconcile", "payflow", report, code=1)
    assert (compared["left"], compared["archives"]) == ({"proven": 1}, [moved["manifest"]])  # the lost one alone
    assert desk.ask("reconcile", "payflow", report, "--apply", "--yes")["agrees"]
    assert desk.ask("audit")["passed"]

    # The feed and the webhooks say so, rather than to skip.
    upto = max(ids_in(tmp_path / "old", "events"))
    assert problem(shop.get("/v1/events", after=upto - 1)) == (410, "archived")
    assert shop.get("/v1/events", after=upto).status_code == 200
    assert min(one["id"] for one in shop.get("/v1/events", after=0).json()["data"]) in ids_of(house, "events")
    replay = f"/v1/webhook-endpoints/{made['id']}/replay"
    assert problem(shop.post(replay, {"event_id": upto})) == (410, "archived")
    assert problem(shop.post(replay, {"since": "2026-01-01T00:00:00Z"})) == (410, "archived")
    for table in ("events", "evidence"):
        with pytest.raises(ProgrammingError, match=f"permission denied for table {table}"):
            house.do(f"DELETE FROM {table}")


def test_only_old_and_final(desk: Desk, tmp_path: Path) -> None:
    """What is younger than thirty days is never archived; the command says what it needs."""
    said = desk.run("archive", "--older-than", "29d", "--to", tmp_path)
    assert (said.exit_code, "30d at the least" in said.stderr) == (1, True)
    assert desk.run("archive", "--older-than", "400d").exit_code == 1
    assert desk.run("archive", "--older-than", "a year", "--to", tmp_path).exit_code == 2
    assert desk.run("archive", "--list").stdout == "There is no archive.\n"
    (tmp_path / "a-file").touch()
    refused = desk.run("archive", "--older-than", "400d", "--to", tmp_path / "a-file" / "below")
    assert (refused.exit_code, "cannot be written to" in refused.stderr) == (1, True)
    assert "Nothing is to be archived" in desk.run("archive", "--older-than", "400d", "--to", tmp_path).stdout
    assert {row.state for row in desk.house.rows("SELECT state FROM archives")} == {"given_up"}
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("defray-")] == []


@pytest.mark.parametrize("state", ["writing", "deleting", "done"])
def test_the_narrow_road(connection: Connection, state: str) -> None:
    """B1: the database lets only what stands in a durable file go, and only while its archive is deleting."""
    connection.execute(text(_EVENTS), {"many": 3})
    first = connection.scalar(text("SELECT min(id) FROM events"))
    connection.execute(
        text("""
        INSERT INTO archives (id, name, folder, older_than, state, manifest_sha256, began_at, began_by, ended_at)
        VALUES (1, 'x', 'x', now(), :state, CASE :state WHEN 'writing' THEN NULL ELSE 'x' END, now(), 'x',
                CASE :state WHEN 'done' THEN now() END)"""),
        {"state": state},
    )
    connection.execute(
        text("""
        INSERT INTO archive_files (archive_id, name, of_table, rows_count, sha256, first_id, last_id, ids, payments)
        VALUES (1, 'x', 'events', 2, 'x', :first, :first + 2,
                int8multirange(int8range(:first, :first + 1), int8range(:first + 2, :first + 3)), '{}')"""),
        {"first": first},
    )
    with pytest.raises(ProgrammingError, match="permission denied for table events"), connection.begin_nested():
        connection.execute(text("DELETE FROM events"))  # the second one is in no file
    some = text("DELETE FROM events WHERE id <> :second")
    if state == "deleting":
        assert connection.execute(some, {"second": first + 1}).rowcount == 2
    else:
        with pytest.raises(ProgrammingError, match="permission denied for table events"):
            connection.execute(some, {"second": first + 1})


def test_told_again_meanwhile(connection: Connection) -> None:
    """A delivery that was tried again behind the archive's back has tries that no file has: it stays, and its event."""
    connection.execute(text(_EVENTS), {"many": 2})
    connection.execute(text(_TOLD_AGAIN))
    ids: list[int] = list(connection.scalars(text("SELECT id FROM events ORDER BY id")))
    limit: Any = connection.scalar(text("SELECT older_than FROM archives"))
    assert archive.delete(connection, "events", ids, limit) == 1
    for left in ("SELECT id FROM events", "SELECT event_id FROM webhook_deliveries"):
        assert list(connection.scalars(text(left))) == ids[1:]
    assert connection.scalar(text("SELECT count(*) FROM webhook_attempts")) == 1


_TOLD_AGAIN = """
    INSERT INTO archives (name, folder, older_than, state, manifest_sha256, began_at, began_by)
    VALUES ('x', 'x', now() - interval '400 days', 'deleting', 'x', now(), 'x');
    INSERT INTO archive_files (archive_id, name, of_table, rows_count, sha256, first_id, last_id, ids, payments)
    SELECT a.id, 'x', 'events', 2, 'x', min(e.id), max(e.id), int8multirange(int8range(min(e.id), max(e.id), '[]')),
           '{}'
    FROM archives a, events e GROUP BY a.id;
    INSERT INTO webhook_endpoints (url, types, contact, secret_sealed, secret_key_id, state, cursor, created_at,
                                   created_by) VALUES ('x', '{}', '', '', '', 'enabled', 0, now(), 'x');
    INSERT INTO webhook_deliveries (endpoint_id, event_id, state, began_at, ended_at)
    SELECT w.id, e.id, 'delivered', e.at, CASE row_number() OVER (ORDER BY e.id) WHEN 1 THEN e.at ELSE now() END
    FROM events e, webhook_endpoints w;
    INSERT INTO webhook_attempts (delivery_id, at, milliseconds, said)
    SELECT id, ended_at, 1, '' FROM webhook_deliveries"""


_EVENTS = """
    INSERT INTO events (at, what, by, why)
    SELECT now() - interval '500 days', 'alarm.test', 'test', repeat('x', 50) FROM generate_series(1, :many)"""


def test_killed_anywhere(desk: Desk, tmp_path: Path) -> None:
    """Nothing is lost and nothing twice: killed with its files written, and again with a part of the rows deleted."""
    house, old = desk.house, tmp_path / "old"
    many = archive.CHUNK + 500
    house.do(_EVENTS, many=many)
    complete(house)
    everything = ids_of(house, "events")
    words = ["archive", "--older-than", "400d", "--to", str(old)]

    with killed_behind(desk, words, "LOCK TABLE archive_files IN SHARE MODE"):
        assert ids_of(house, "events") == everything
        assert len(ids_in(old, "events")) == many
    assert house.row("SELECT state FROM archives").state == "writing"

    last = max(everything)
    with killed_behind(desk, words, f"SELECT FROM events WHERE id = {last} FOR KEY SHARE"):
        assert len(ids_of(house, "events") & everything) == 500
        assert sorted(ids_in(old, "events")) == sorted(everything)  # and nothing of the run before
    assert [one["state"] for one in desk.ask("archive", "--list")] == ["deleting"]
    assert "deleting" in desk.run("archive", "--list").stdout
    assert f"in {old} is not finished (deleting)" in desk.run("doctor", "--before-start").stdout

    [path] = old.glob("*/events-00001.jsonl.gz")
    away = path.rename(tmp_path / "away")
    refused = desk.run(*words)
    assert (refused.exit_code, "nothing more is deleted without it" in refused.stderr) == (1, True)
    away.rename(path)
    assert len(desk.ask(*words)["finished"]) == 1
    assert not ids_of(house, "events") & everything
    assert sorted(ids_in(old, "events")) == sorted(everything)
    assert desk.ask("archive", "--list")[0]["state"] == "done"


@contextmanager
def killed_behind(desk: Desk, words: list[str], lock: str) -> Iterator[None]:
    """A real run is stopped by a lock, killed there, and the lock is held until the block ends."""
    house = desk.house
    environ = {name: value for name, value in os.environ.items() if not name.startswith("DEFRAY_")}
    with house.engine.begin() as conn:
        conn.execute(text(lock))
        process = subprocess.Popen(
            [sys.executable, "-m", "cli", *words],
            cwd=PROJECT,
            env={**environ, **desk.environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        try:
            deadline = time.monotonic() + 60
            while not house.rows(_WAITING):
                assert process.poll() is None, process.stdout and process.stdout.read()
                assert time.monotonic() < deadline
                time.sleep(0.02)
        finally:
            process.kill()
            process.communicate()
        yield
    while house.rows(_OTHERS):  # what waited for the lock finds its client gone
        assert time.monotonic() < deadline
        time.sleep(0.02)


_OTHERS = """SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'defray'"""
_WAITING = f"{_OTHERS} AND wait_event_type = 'Lock'"


def test_one_at_a_time(desk: Desk, tmp_path: Path) -> None:
    """A second archive beside the first is refused."""
    with desk.house.engine.connect() as conn, archive.alone(conn):
        said = desk.run("archive", "--older-than", "400d", "--to", tmp_path)
    assert (said.exit_code, "Another `defray archive` is under way" in said.stderr) == (1, True)


_FILLED = """
    INSERT INTO customers (number, name, created_at) SELECT 'C-' || n, 'x', now() FROM generate_series(1, 12000) n;
    INSERT INTO payments (customer_id, caller, idempotency_key, content_digest, method, currency, total_minor,
                          as_credit, allow_overlap, when_owed_less, owed_at_request_minor, state, recorded_at,
                          recorded_by)
    SELECT id, 'x', number, '', 'cash', 'USD', 100, false, false, 'ask', 0, 'cancelled', now(), 'x' FROM customers;
    INSERT INTO gateway_transactions (payment_id, operation, gateway, account, reference, amount_minor, currency, state,
                                      send_until, started_at)
    SELECT id, 'sale', 'payflow', 'x', id + 2000000000000000000, 100, 'USD', 'declined', now(), now() FROM payments;
    INSERT INTO evidence (gateway_transaction_id, at, kind, said)
    SELECT id, now() - interval '500 days', 'reply', '{}' FROM gateway_transactions;
    INSERT INTO events (at, what, payment_id, by)
    SELECT now() - interval '500 days', 'payment.cancelled', id, 'x' FROM payments;
    INSERT INTO webhook_endpoints (url, types, contact, secret_sealed, secret_key_id, state, cursor, created_at,
                                   created_by) VALUES ('x', '{}', '', '', '', 'enabled', 0, now(), 'x');
    INSERT INTO webhook_deliveries (endpoint_id, event_id, payment_id, state, began_at, ended_at)
    SELECT w.id, e.id, e.payment_id, 'delivered', e.at, e.at FROM events e, webhook_endpoints w;
    INSERT INTO webhook_attempts (delivery_id, at, milliseconds, said)
    SELECT id, began_at, 1, '' FROM webhook_deliveries;
    INSERT INTO archives (name, folder, older_than, state, manifest_sha256, began_at, began_by)
    SELECT 'a-' || n, 'x', now(), 'deleting', 'x', now(), 'x' FROM generate_series(1, 1000) n;
    INSERT INTO archive_files (archive_id, name, of_table, rows_count, sha256, first_id, last_id, ids, payments)
    SELECT id, 'x', 'events', 1, 'x', id * 9, id * 9 + 5, int8multirange(int8range(id * 9, id * 9 + 5)),
           int8multirange(int8range(id * 9, id * 9 + 5)) FROM archives;
"""


def test_plans(connection: Connection) -> None:
    """However much there is: a chunk is found, a payment's archive is found and rows are deleted by indexes."""
    connection.execute(text(_FILLED))
    analyze(connection)
    middle: Any = connection.scalar(text("SELECT min(id) + 1000 FROM events"))
    limit = connection.scalar(text("SELECT now()"))
    step = {"after": middle, "upto": 2**62, "limit": limit, "most": 2}
    ids = [middle, middle + 1]
    for question, asked in (
        (archive.EVENTS, step),
        (archive.EVIDENCE, {**step, "after": connection.scalar(text("SELECT min(id) + 1000 FROM evidence"))}),
        (archive.DELIVERIES, {"ids": ids}),
        (archive.DELETE_EVENTS, {"ids": ids}),
        (archive.DELETE_EVIDENCE, {"ids": ids}),
        (archive.HOLDING, {"payment_id": 7}),
    ):
        assert read_whole(connection, question, **asked) <= {"webhook_endpoints"}, question
    one = connection.scalar(text("SELECT min(id) + 1000 FROM customers"))
    said = {"id": one, "mark": "x", "now": limit, "first": limit, "by": "x", "counted_since": limit}
    for table, change in erase.SETS.items():
        asked = {**said, "events": [middle], "notices": [1], "report_lines": [1]}
        assert read_whole(connection, change, **asked) <= {"webhook_endpoints"}, table
