"""`defray erase`: personal data leaves by every road that it came by, and the books stay as they are (issue 9)."""

from __future__ import annotations

import json
import re
import stat
from pathlib import Path

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import ProgrammingError

from books import archive, dispute, erase, history, holds
from books.bill import NewCustomer, record_customers
from cli import archive_files
from rules.outcomes import Evidence
from tests.api.conftest import App
from tests.cli.conftest import Desk
from tests.flows.house import AMEX, VISA, House, card
from tests.webhooks.conftest import complete

NAME = "Zanzibar"
ROADS = (
    *("customers.name", "customers.email", "customers.phone", "payments.notes", "payments.void_reason"),
    *("payments.reason", "gateway_transactions.message", "evidence.said", "reversals.reason", "proposals.reason"),
    *("disputes.reason", "disputes.ended_why", "mails.address", "mails.said", "customer_holds.reason"),
    *("schedules.notes", "schedules.reason", "schedule_runs.why", "notices.said", "notices.why", "report_lines.said"),
    *("webhook_attempts.said", "events.why", "events.details", "events of the customer", "api_answers.body"),
    "card_notices.said",
)
CANARY = {road: f"{NAME}-{place:02}" for place, road in enumerate(ROADS)}


def dumped(house: House) -> str:
    """Every row of every table, and whatever stands in bytes there in the clear."""
    tables = house.rows("SELECT quote_ident(tablename) AS name FROM pg_tables WHERE schemaname = 'public'")
    rows = [row.said for one in tables for row in house.rows(f"SELECT t::text AS said FROM {one.name} AS t")]
    return "\n".join(rows)


def canaries(house: House) -> set[str]:
    """The roads whose canary stands anywhere in the database."""
    said = dumped(house)
    return {road for road, canary in CANARY.items() if canary in said or canary.encode().hex() in said}


def plant(house: House, shop: App) -> tuple[int, int]:
    """A customer with personal data by every road, of whom all is final; a voided charge, and a posted one."""
    words = CANARY
    shop.made(
        "/v1/customers",
        number="C-1",
        name=f"{words['customers.name']} {words['api_answers.body']}",
        email=f"{words['customers.email']}@example.com",
        phone=words["customers.phone"],
    )
    house.bill("C-1", {"A-1": 900, "A-2": 500})
    voided = house.pay(900, card(VISA), invoices=["A-1"], notes=words["payments.notes"])
    house.work()
    house.void(voided, words["payments.void_reason"])
    house.work()
    assert house.reversal(voided).state == "voided"
    again = house.pay(900, invoices=["A-1"])
    asked = {"idempotency_key": "kept", "method": "credit_card", "currency": "USD", "customer": "C-1"}
    kept = {**asked, "amount_minor": 500, "invoices": ["A-2"]}
    given = card(AMEX, "1234")
    posted = house.producer.pay(kept, given, caller="shop", by="ann", keep_card=True).payment_id
    house.work()
    assert (house.state(again), house.state(posted)) == ("posted", "posted")
    with house.context.transaction() as (conn, now):
        today = house.context.terms.today(now)
        dispute.open_case(conn, posted, "D-1", None, words["disputes.reason"], today, now, "sue")
        dispute.win(conn, posted, "D-1", words["disputes.ended_why"], today, now, "sue")
        [sale] = conn.scalars(text("SELECT id FROM gateway_transactions WHERE payment_id = :id"), {"id": posted})
        history.witness(conn, "reply", now, [(sale, Evidence(200, {"NAME": words["evidence.said"]}))])
        details = {"name": words["events.details"]}
        history.tell(conn, "test", now, "ann", words["events.why"], payment_id=posted, details=details)
        customer = house.payment(posted).customer_id
        history.tell(conn, "test", now, "ann", words["events of the customer"], customer_id=customer)
        holds.place(conn, customer, words["customer_holds.reason"], None, house.context.terms.zone, now, "sue")
        conn.execute(text(_PLANTED), {**{road.replace(".", "_"): said for road, said in words.items()}, "id": posted})
    return voided, posted


_PLANTED = """
    WITH p AS (
        UPDATE payments SET reason = :payments_reason WHERE id = :id RETURNING id, customer_id, card_token
    ), t AS (
        UPDATE gateway_transactions SET message = :gateway_transactions_message WHERE payment_id = :id
        RETURNING id, payment_id
    ), r AS (
        UPDATE reversals SET reason = :reversals_reason
    ), o AS (
        INSERT INTO proposals (kind, payment_id, amount_minor, currency, policy, reason, asked_at, asked_by, decision,
                               decided_at, decided_by)
        SELECT 'void', id, 500, 'USD', 'auto', :proposals_reason, now(), 'ann', 'refused', now(), 'sue' FROM p
    ), m AS (
        INSERT INTO mails (payment_id, address, message_id, state, said, asked_at, asked_by, ended_at)
        SELECT id, :mails_address, 'm-1', 'sent', :mails_said, now(), 'ann', now() FROM p
    ), s AS (
        INSERT INTO schedules (customer_id, caller, idempotency_key, content_digest, currency, amount_minor, as_credit,
                               notes, card_token, unit, every, first_on, state, reason, created_at, created_by)
        SELECT customer_id, 'x', 'x', '', 'USD', 100, false, :schedules_notes, card_token, 'week', 1, now(), 'ended',
               :schedules_reason, now(), 'ann' FROM p RETURNING id
    ), sr AS (
        INSERT INTO schedule_runs (schedule_id, due_on, outcome, why, at, by)
        SELECT id, now(), 'skipped', :schedule_runs_why, now(), 'ann' FROM s
    ), n AS (
        INSERT INTO notices (gateway, digest, headers, received_at, state, said, gateway_transaction_id, why)
        SELECT 'plugnpay', 'x', '{}', now(), 'verified', jsonb_build_object('x', CAST(:notices_said AS text)), id,
               :notices_why FROM t
    ), f AS (
        INSERT INTO reports (gateway, digest, file_name, first_read_at, read_at, read_by)
        VALUES ('plugnpay', 'x', 'x', now(), now(), 'ann') RETURNING id
    ), l AS (
        INSERT INTO report_lines (report_id, finding, line, kind, state, amount_minor, currency, transaction_id, said,
                                  payment_id, why)
        SELECT f.id, 'differs', 1, 'sale', 'x', 1, 'USD', 'x', :report_lines_said, p.id, 'x' FROM f, p
    ), w AS (
        INSERT INTO webhook_endpoints (url, types, contact, secret_sealed, secret_key_id, state, cursor, created_at,
                                       created_by)
        VALUES ('x', '{}', '', '', 'x', 'enabled', 0, now(), 'x') RETURNING id
    ), d AS (
        INSERT INTO webhook_deliveries (endpoint_id, event_id, payment_id, state, began_at)
        SELECT w.id, (SELECT min(id) FROM events WHERE payment_id = :id), :id, 'delivered', now() FROM w RETURNING id
    ), c AS (
        INSERT INTO card_notices (kept_card_id, notice, told_at, mail_to, message_id, state, said)
        SELECT id, 'soon', now(), 'nobody', 'm-2', 'told', :card_notices_said FROM kept_cards
    )
    INSERT INTO webhook_attempts (delivery_id, at, milliseconds, said)
    SELECT id, now(), 1, :webhook_attempts_said FROM d"""


def test_erased_by_every_road(desk: Desk, shop: App, tmp_path: Path) -> None:
    """Each canary stands in the database before and none after; the books audit, and tell the rest of the story."""
    house = desk.house
    voided, posted = plant(house, shop)
    assert canaries(house) == set(CANARY)
    books = [house.rows(f"SELECT * FROM {table} ORDER BY id") for table in ("journal", "allocations", "invoices")]
    references = house.rows("SELECT id, reference, transaction_id, state FROM gateway_transactions ORDER BY id")
    customer = house.payment(posted).customer_id

    said = desk.run("erase", "C-1", "--reason", "asked on 5 May", given="C-2\n")
    assert (said.exit_code, canaries(house)) == (1, set(CANARY))
    said = desk.run("erase", "C-1", "--reason", "asked on 5 May", "--by", "sue", given="C-1\n")
    assert said.exit_code == 0, said.stderr
    assert canaries(house) == set()
    assert NAME not in dumped(house)
    assert house.row("SELECT name FROM customers").name == f"erased customer {customer}"
    vault = house.rows("SELECT wrapped_key, security_code, sealed, last_four, fingerprint FROM card_vault")
    assert {tuple(row) for row in vault} == {(None, None, b"", "0000", "")}
    assert house.rows("SELECT id FROM gateway_cards") == []
    assert house.rows("SELECT id FROM kept_cards WHERE removed_at IS NULL") == []
    assert books == [house.rows(f"SELECT * FROM {t} ORDER BY id") for t in ("journal", "allocations", "invoices")]
    found = house.rows("SELECT id, reference, transaction_id, state FROM gateway_transactions ORDER BY id")
    assert found == references

    assert desk.ask("audit")["passed"]
    for payment in (voided, posted):
        told = desk.run("explain", payment)
        assert (told.exit_code, f"erased customer {customer}" in told.stdout) == (0, True)
        assert desk.run("status", payment).exit_code == 0
        assert shop.get(f"/v1/payments/{payment}").json()["card"] is None
    assert shop.get("/v1/events").status_code == 200
    [record] = desk.ask("erase", "--list")
    assert (record["customer"], record["reason"], record["erased_by"]) == ("C-1", "asked on 5 May", "sue")
    assert "asked on 5 May" in desk.run("erase", "--list").stdout
    with house.engine.begin() as conn:  # an import that still brings the name
        record_customers(conn, [NewCustomer("C-1", NAME)], house.row("SELECT now() AS now").now, "test")
    assert NAME not in dumped(house)

    house.void(posted, "the bank asked")  # the money still finds its way back, by the gateway's id
    house.work()
    assert (house.state(posted), house.reversal(posted).state) == ("voided", "voided")
    house.pay(500, invoices=["A-2"])
    house.work()
    assert desk.ask("audit")["passed"]

    # A restore brings it back, and the record from outside the database takes it away again.
    kept = tmp_path / "erasures.json"
    kept.write_text(desk.run("erase", "--list", "--json").stdout)
    house.do("DELETE FROM erasures")
    house.do("UPDATE customers SET name = :name, erased_at = NULL", name=NAME)
    assert desk.ask("erase", "--again", kept)["erased"] == ["C-1"]
    assert NAME not in dumped(house)
    assert desk.ask("erase", "--list") == [record]
    counted = "SELECT id FROM gateway_transactions WHERE card_fingerprint IS NOT NULL"
    assert house.rows(counted) != []  # by the networks' limits, for thirty days (R16)
    house.advance(days=31)
    assert desk.ask("erase", "--again", kept)["erased"] == ["C-1"]
    assert house.rows(counted) == []
    assert desk.ask("erase", "--list") == [record]
    for said_at in ("yesterday", "2026-05-05T10:00:00"):
        kept.write_text(json.dumps([{**record, "erased_at": said_at}]))
        refused = desk.run("erase", "--again", kept)
        assert (refused.exit_code, "is no list of erasures" in refused.stderr) == (1, True)


def test_what_is_open_stays(desk: Desk, tmp_path: Path) -> None:
    """A customer of whom anything is open is not erased, and each of it is told; nothing was changed."""
    house = desk.house
    house.bill("C-1", {"A-1": 900, "A-2": 500})
    house.pay(1_000, as_credit=True)
    house.pay(100, card(VISA), invoices=["A-1"], as_credit=False)
    before = dumped(house)
    said = desk.run("erase", "C-1", "--reason", "asked", "--yes")
    assert said.exit_code == 1
    for words in ("Payment 2", "is not final.", "Invoice A-1 is not paid: collect it, or void it."):
        assert words in said.stderr
    assert dumped(house) == before
    house.work()
    kept = tmp_path / "erasures.json"
    at = house.row("SELECT now() AS now").now.isoformat()
    kept.write_text(json.dumps([{"customer": "C-1", "reason": "asked", "erased_at": at, "erased_by": "sue"}]))
    assert desk.run("erase", "--again", kept, "--json").exit_code == 1
    kept.write_text("[1]")
    assert "is no list of erasures" in desk.run("erase", "--again", kept).stderr
    assert desk.run("erase", "C-9", "--reason", "asked", "--yes").exit_code == 1
    assert desk.run("erase").exit_code == 2
    assert "must be given with --json" in desk.run("erase", "C-1", "--reason", "asked", "--json").stderr


@pytest.mark.parametrize(
    ("table", "change"), [("events", "why = 'x'"), ("events", "details = '{}'"), ("evidence", "said = '{}'")]
)
def test_no_other_road(connection: Connection, table: str, change: str) -> None:
    """B1: what was written is changed for nobody else, not even while another customer is erased."""
    connection.execute(text(_TWO))
    connection.execute(
        text(
            "INSERT INTO erasures (customer_id, reason, erased_at, erased_by) SELECT min(id), '', now(), 'x'"
            " FROM customers"
        )
    )
    with connection.begin_nested() as theirs:
        changed = connection.execute(text(f"UPDATE {table} SET {change} WHERE id = (SELECT min(id) FROM {table})"))
        assert changed.rowcount == 1
        theirs.rollback()
    with pytest.raises(ProgrammingError, match=f"permission denied for table {table}"), connection.begin_nested():
        connection.execute(text(f"UPDATE {table} SET {change}"))
    connection.execute(text("DELETE FROM erasures"))
    with pytest.raises(ProgrammingError, match=f"permission denied for table {table}"):
        connection.execute(text(f"UPDATE {table} SET {change} WHERE id = (SELECT min(id) FROM {table})"))


_TWO = """
    INSERT INTO customers (number, name, created_at) VALUES ('C-1', 'x', now()), ('C-2', 'x', now());
    INSERT INTO payments (customer_id, caller, idempotency_key, content_digest, method, currency, total_minor,
                          as_credit, allow_overlap, when_owed_less, owed_at_request_minor, state, recorded_at,
                          recorded_by)
    SELECT id, 'x', number, '', 'cash', 'USD', 100, false, false, 'ask', 0, 'cancelled', now(), 'x'
    FROM customers ORDER BY id;
    INSERT INTO gateway_transactions (payment_id, operation, gateway, account, reference, amount_minor, currency, state,
                                      send_until, started_at)
    SELECT id, 'sale', 'payflow', 'x', id, 100, 'USD', 'declined', now(), now() FROM payments ORDER BY id;
    INSERT INTO evidence (gateway_transaction_id, at, kind, said)
    SELECT id, now(), 'reply', '{}' FROM gateway_transactions ORDER BY id;
    INSERT INTO events (at, what, payment_id, by) SELECT now(), 'x', id, 'x' FROM payments ORDER BY id"""


_ALL_OPEN = """
    UPDATE payments SET state = 'review';
    UPDATE gateway_transactions SET state = 'unknown';
    INSERT INTO invoices (customer_id, number, invoice_date, due_date, currency, total_minor, balance_minor, state,
                          created_at)
    SELECT id, 'A-1', now(), now(), 'USD', 1, 1, 'draft', now() FROM customers;
    INSERT INTO reversals (payment_id, sale_id, amount_minor, currency, state, policy, reason, started_at, started_by)
    SELECT payment_id, id, 1, 'USD', 'refund_awaiting_approval', 'ask', '', now(), 'x' FROM gateway_transactions;
    INSERT INTO disputes (payment_id, reference, amount_minor, currency, state, reason, opened_at, opened_by)
    SELECT id, 'D', 1, 'USD', 'open', '', now(), 'x' FROM payments;
    INSERT INTO proposals (kind, payment_id, amount_minor, currency, policy, reason, asked_at, asked_by)
    SELECT 'void', id, 1, 'USD', 'auto', '', now(), 'x' FROM payments;
    INSERT INTO mails (payment_id, address, message_id, state, next_step, due_at, asked_at, asked_by)
    SELECT id, 'x', 'm-' || id, 'due', 'mail', now(), now(), 'x' FROM payments;
    INSERT INTO credits (customer_id, payment_id, currency, amount_minor, balance_minor, note, created_at)
    SELECT customer_id, id, 'USD', 1, 1, '', now() FROM payments;
    INSERT INTO schedules (customer_id, caller, idempotency_key, content_digest, currency, amount_minor, as_credit,
                           card_token, unit, every, first_on, state, created_at, created_by)
    SELECT id, 'x', number, '', 'USD', 1, false, 'x', 'week', 1, now(), 'paused', now(), 'x' FROM customers;
    INSERT INTO api_keys (name, prefix, secret_hash, scopes, customer_id, created_at, created_by)
    SELECT 'key of ' || number, 'x', CAST(number AS bytea), '{read}', id, now(), 'x' FROM customers;
    INSERT INTO webhook_endpoints (url, types, customer_id, contact, secret_sealed, secret_key_id, state, cursor,
                                   created_at, created_by)
    SELECT 'x', '{}', id, '', '', 'x', 'disabled', 0, now(), 'x' FROM customers"""


def test_all_that_can_be_open(connection: Connection) -> None:
    """Each kind of what is open keeps a customer from being erased, and only that customer's own counts."""
    connection.execute(text(_TWO))
    [one, two] = connection.scalars(text("SELECT id FROM customers ORDER BY id"))
    assert list(erase.what_is_open(connection, one)) == []
    connection.execute(text(_ALL_OPEN))
    of_one, of_two = (list(erase.what_is_open(connection, each)) for each in (one, two))
    assert len(of_one) == len(of_two) == 11
    assert set(of_one) & set(of_two) == {"Invoice A-1 is not paid: collect it, or void it."}
    with pytest.raises(erase.StillOpen) as refused:
        erase.erase(connection, "C-1", "asked", connection.scalar(text("SELECT now()")), "sue")
    assert list(refused.value.open) == of_one


CODES = set(
    """account accounts approval_code became brand caller card_token code currency decision decline_class
    digest event_id finding from_state gateway idempotency_key initiated_by key_id kind mail_to
    manifest_sha256 message_id method next_step notice of_table operation ours_state outcome policy prefix
    purpose role scopes security_code_hour sha256 state sums to_state token traceparent transaction_id types
    unit version_num what when_owed_less network_reference old_key_id secret_key_id two_factor_key_id
    system_identifier life password_hash url user_name""".split()
)
"""What columns of such names hold is Defray's, a gateway's or an upstream system's code, or the office's own."""
STAYS = {
    "customers.number": "what the books know a customer by",
    "invoices.number": "the books",
    "payments.number": "of a check: the books",
    "disputes.reference": "the bank's case",
    "credits.note": "written by Defray: from which payment, of which date and method (R3)",
    "batches.label": "of many customers: docs say to put no name there",
    "erasures.reason": "docs say to put no name there",
    "card_vault.last_four": "erased by the vault",
    "card_vault.fingerprint": "erased by the vault",
    "notices.headers": "a signature",
    "report_lines.why": "written by Defray",
    "reports.file_name": "of many customers",
    "login_attempts.name": "the office's people; a day",
    "login_attempts.address": "the office's machines; a day",
    "users.name": "the office's people",
    "api_keys.name": "of an app; a key for one customer must be revoked first",
    "archives.name": "Defray's",
    "archives.folder": "the office's",
    "archive_files.name": "Defray's",
    "epoch.quarantined_why": "of a restore",
    "epoch.released_why": "of a restore",
    "webhook_endpoints.contact": "of an app",
    "webhook_endpoints.why": "of an app",
    "api_answers.body": "erased: `_erase_answers`",
}


def test_every_column_is_thought_of(connection: Connection) -> None:
    """A new column that can hold words must be erased (books.erase.ERASED), or be listed here with why it stays."""
    columns = connection.execute(
        text("""
        SELECT c.table_name, c.column_name FROM information_schema.columns c
        JOIN information_schema.tables t ON t.table_name = c.table_name AND t.table_schema = c.table_schema
        WHERE c.table_schema = 'public' AND c.udt_name IN ('text', 'jsonb', '_text', 'varchar')
          AND t.table_type = 'BASE TABLE'""")
    )
    unthought = {
        f"{table}.{column}"
        for table, column in columns
        if column not in CODES
        and not column.endswith("_by")
        and column != "by"
        and f"{table}.{column}" not in STAYS
        and not re.search(rf"\b{column} = ", erase.ERASED.get(table, ("",))[0])
    }
    assert unthought == set()


def test_erased_in_archives(desk: Desk, shop: App, tmp_path: Path) -> None:
    """What was archived before is rewritten without the words, row for row, and its digests are proven."""
    house = desk.house
    plant(house, shop)
    house.do("UPDATE webhook_endpoints SET cursor = 1000000000")
    complete(house)
    house.advance(days=401)
    made = desk.ask("archive", "--older-than", "400d", "--to", tmp_path / "old")
    folder = Path(made["manifest"]).parent
    roads = {"evidence.said", "events.why", "events.details", "events of the customer", "webhook_attempts.said"}
    assert roads <= in_files(folder)
    ids = [row["id"] for path in sorted(folder.glob("ev*.gz")) for row in archive_files.read(path)]

    with house.engine.connect() as conn, archive.alone(conn):  # another is being made, whose files would hold it still
        assert desk.run("erase", "C-1", "--reason", "asked", "--yes").exit_code == 1
    assert "customers.name" in canaries(house)
    said = desk.ask("erase", "C-1", "--reason", "asked", "--yes")
    assert said["rewritten"] == [made["manifest"]]
    assert in_files(folder) == set()
    assert canaries(house) == set()
    assert ids == [row["id"] for path in sorted(folder.glob("ev*.gz")) for row in archive_files.read(path)]
    digests = [(one["name"], one["sha256"]) for one in json.loads(Path(made["manifest"]).read_text())["files"]]
    assert digests == [(name, archive_files.digest_of(folder / name)) for name, _ in digests]
    known = house.rows("SELECT name, sha256 FROM archive_files ORDER BY id")
    assert sorted(map(tuple, known)) == sorted(digests)
    manifest = house.row("SELECT manifest_sha256 AS sha256 FROM archives").sha256
    assert manifest == archive_files.digest_of(folder / "manifest.json")
    assert stat.S_IMODE((folder / "manifest.json").stat().st_mode) == 0o600

    kept = tmp_path / "erasures.json"
    kept.write_text(desk.run("erase", "--list", "--json").stdout)
    folder.rename(tmp_path / "elsewhere")
    assert desk.ask("erase", "--again", kept)["not_here"] == [made["manifest"]]
    assert "This archive is not here, and may hold it still" in desk.run("erase", "--again", kept).stdout


def in_files(folder: Path) -> set[str]:
    """The roads whose canary stands in any file of an archive."""
    said = "".join(json.dumps(row) for path in folder.glob("*.gz") for row in archive_files.read(path))
    return {road for road, canary in CANARY.items() if canary in said}
