"""Issue 7: what is of one payment, customer or invoice takes no longer, however much else there is.

The pages and calls are asked while little is there, and their statements are caught. Then copies of all rows are
made, in a transaction that is rolled back, and PostgreSQL says how it would answer the same statements.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import pytest
from sqlalchemy import Connection, Engine, event, text
from starlette.testclient import TestClient

from books import dispute, schedules
from tests.api.conftest import App
from tests.books.plans import Said, analyze, read_whole_by
from tests.flows import test_schedules as schedules_test
from tests.flows.house import House, card
from tests.web.conftest import Visitor, office_people, password_hash
from tests.web.test_every_route import ROUTES

__all__ = ["office_people", "password_hash"]

ROWS, STRIDE = 8_000, 10_000_000
LARGE = (
    "allocations", "credits", "customers", "disputes", "events", "evidence",
    "gateway_transactions", "invoices", "journal", "mails", "payments", "reversals",
    "schedules", "schedule_runs", "customer_holds",
)  # fmt: skip
"""What grows with each payment; the office's people, keys and open tasks are few."""
OWN_WORDS = {"number", "idempotency_key", "token", "card_token", "fingerprint", "card_fingerprint", "transaction_id",
             "message_id"}  # fmt: skip
"""What tells rows apart, beside their ids."""
QUESTIONS = {
    "/console/customers/{customer_id}": ("", "?show=paid", "?show=all"),
    "/v1/payments": ("?customer=C-1", "?customer=C-1&method=check", "?idempotency_key=key-1"),
    "/v1/invoices": ("?customer=C-1", "?customer=C-1&state=pending", "?number=A"),
    "/v1/credits": ("?customer=C-1",),
    "/v1/schedules": ("?customer=C-1",),
}


def scene(house: House) -> dict[str, Sequence[int | str]]:
    """One customer's payments, ended in each way, and what the gaps of the addresses stand for."""
    house.bill("C-1", {"A": 5_000, "B": 6_000, "C": 7_000, "D": 9_000})
    check = house.pay(5_500)
    refunded, voided, disputed = (house.pay(2_000, card()) for _ in range(3))
    declined = house.pay(3_000, card("4000000000009979"))
    house.work()
    house.pay(40_000, as_credit=True)
    house.work()
    house.void(voided)
    with house.context.transaction() as (conn, now):
        today = house.context.terms.today(now)
        dispute.open_case(conn, disputed, "CB-1", 500, "not received", today, now, "sue")
        dispute.win(conn, disputed, "CB-1", "proved", today, now, "sue")
    house.work()
    house.do(
        "INSERT INTO mails (payment_id, address, message_id, state, asked_at, asked_by, ended_at)"
        " VALUES (:id, 'ann@example.com', 'm', 'sent', now(), 'ann', now())",
        id=check,
    )
    house.do(
        "INSERT INTO kept_cards (customer_id, token, brand, last_four, exp_month, exp_year, fingerprint, kept_at,"
        " kept_by) SELECT id, 'card_kept', 'visa', '1111', 12, 2039, 'f', now(), 'ann' FROM customers"
    )
    schedule = schedules_test.make(house, "card_kept")
    schedules_test.do(house, schedules.skip, schedule, "away")
    schedules_test.hold(house)
    return {
        "number": ["C-1"],
        "schedule_id": [schedule],
        "payment_id": [check, refunded, voided, disputed, declined],
        **{
            gap: [row.id for row in house.rows(f"SELECT id FROM {table} ORDER BY id LIMIT 2")]
            for gap, table in (("customer_id", "customers"), ("invoice_id", "invoices"), ("credit_id", "credits"))
        },
    }


@contextmanager
def caught() -> Iterator[dict[str, Said]]:
    """Every statement that goes to the database meanwhile, the last parameters of each."""
    said: dict[str, Said] = {}

    def catch(conn: Connection, _cursor: object, statement: str, parameters: object, *_: object) -> None:
        if re.match(r"\s*(SELECT|WITH|UPDATE|INSERT|DELETE)\b", statement):
            said.setdefault(statement, (statement, parameters))

    event.listen(Engine, "before_cursor_execute", catch)
    yield said
    event.remove(Engine, "before_cursor_execute", catch)


def addresses(known: Mapping[str, Sequence[int | str]]) -> Iterator[str]:
    """Every page and call that shows something whose id is known, and the lists of one customer."""
    for method, path in ROUTES:
        gaps = re.findall(r"\{(\w+)[^}]*\}", path)
        if method == "GET" and (gaps or path in QUESTIONS) and set(gaps) <= known.keys():
            ids = {gap: itertools.cycle(known[gap]) for gap in gaps}
            for _ in range(max((len(known[gap]) for gap in gaps), default=1)):
                filled = path
                for gap in gaps:
                    filled = re.sub(rf"\{{{gap}[^}}]*\}}", str(next(ids[gap])), filled)
                yield from (f"{filled}{question}" for question in QUESTIONS.get(path, ("",)))


def copy(conn: Connection) -> None:
    """Copies of each row of what grows, with ids and words of their own, until each table is large."""
    conn.execute(text("SET LOCAL session_replication_role = replica"))
    columns = conn.execute(
        text("""
            SELECT table_name, column_name, data_type FROM information_schema.columns
            WHERE table_schema = 'public' AND table_name = ANY(:large) AND is_generated = 'NEVER'"""),
        {"large": list(LARGE)},
    ).all()
    for table in LARGE:
        rows = conn.execute(text(f"SELECT count(*) FROM {table}")).scalar_one()
        assert rows, f"the scene has no row of {table}"
        own = {column.column_name: moved(*column[1:]) for column in columns if column.table_name == table}
        conn.execute(
            text(f"""
                INSERT INTO {table} ({", ".join(own)}) OVERRIDING SYSTEM VALUE
                SELECT {", ".join(own.values())} FROM {table}
                CROSS JOIN generate_series(CAST(1 AS bigint), {ROWS // rows}) AS k""")
        )


def moved(name: str, kind: str) -> str:
    """What a column is in a copy."""
    if kind == "bigint" and (name in ("id", "reference") or name.endswith("_id")):
        return f"{name} + k * {STRIDE}"
    if name == "invoice_ids":
        return f"CASE WHEN {name} IS NOT NULL THEN ARRAY(SELECT one + k * {STRIDE} FROM unnest({name}) AS one) END"
    return f"{name} || '-' || k" if name in OWN_WORDS and kind == "text" else name


@pytest.mark.usefixtures("office_people")
def test_what_is_of_one_reads_no_table_whole(house: House, client: TestClient, shop: App, sweeper: Engine) -> None:
    """Issue 7: no page and no call about one payment, customer, invoice or credit reads a table that grows."""
    known = scene(house)
    office = Visitor(client)
    office.log_in("ada")
    asked_by: dict[str, Said] = {}
    said_at: dict[str, str] = {}
    for address in addresses(known):
        with caught() as said:
            answer = shop.get(address) if address.startswith("/v1/") else office.get(address)
        assert answer.status_code in (200, 303, 409) or "/receipt" in address, (address, answer.text)
        for statement, one in said.items():
            asked_by.setdefault(statement, one)
            said_at.setdefault(statement, address)
    assert len(asked_by) > 60
    with sweeper.connect() as conn:
        copy(conn)
        analyze(conn)
        conn.execute(text("SET LOCAL random_page_cost = 1.1"))  # so that these rows are many already
        found = {
            (said_at[statement], statement): whole
            for statement, one in asked_by.items()
            if (whole := read_whole_by(conn, one) & set(LARGE))
        }
        conn.rollback()
    assert not found, "\n\n".join(f"{at} reads {tables} whole:{statement}" for (at, statement), tables in found.items())
