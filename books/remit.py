"""What the books know of the words and amounts in a bank's file; writes nothing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Final

from sqlalchemy import Connection, text

from rules.errors import MoveRefused
from rules.remittance import Check, Known, Owed

# Materialized: both are found by the index of numbers, whatever the planner believes of a long list.
_INVOICES: Final = text("""
    WITH named AS MATERIALIZED (SELECT DISTINCT unnest(CAST(:words AS text[])) AS number)
    SELECT c.number AS customer, i.number, i.currency, i.balance_minor
    FROM named n JOIN invoices i ON i.number = n.number JOIN customers c ON c.id = i.customer_id
    WHERE i.state IN ('pending', 'paid') ORDER BY i.number, c.number""")
_CUSTOMERS: Final = text("SELECT id, number FROM customers WHERE number = ANY(CAST(:words AS text[]))")
# One pass over what is open, for all amounts of the file; a payment under way may be for that invoice.
_ALONE: Final = text("""
    WITH asked AS MATERIALIZED (
        SELECT DISTINCT * FROM unnest(CAST(:currencies AS text[]), CAST(:amounts AS bigint[])) AS a (currency, amount)
    ), fits AS (
        SELECT a.currency, a.amount, min(i.id) AS id
        FROM asked a JOIN invoices i ON i.currency = a.currency AND i.balance_minor = a.amount AND i.state = 'pending'
        GROUP BY a.currency, a.amount HAVING count(*) = 1
    )
    SELECT c.number AS customer, i.number, i.currency, i.balance_minor
    FROM fits f JOIN invoices i ON i.id = f.id JOIN customers c ON c.id = i.customer_id
    WHERE NOT EXISTS (
        SELECT 1 FROM payments p
        WHERE p.customer_id = i.customer_id AND p.currency = i.currency
          AND p.state IN ('requested', 'charging', 'retrying', 'review'))""")
_OWING: Final = text("""
    SELECT DISTINCT c.number, i.currency, i.balance_minor
    FROM customers c JOIN invoices i ON i.customer_id = c.id AND i.state = 'pending'
    WHERE c.id = ANY(CAST(:customers AS bigint[])) AND i.balance_minor = ANY(CAST(:amounts AS bigint[]))""")
_CHECKS: Final = text("""
    WITH asked AS MATERIALIZED (
        SELECT * FROM unnest(CAST(:customers AS text[]), CAST(:numbers AS text[]), CAST(:currencies AS text[]),
                             CAST(:amounts AS bigint[])) AS a (customer, number, currency, amount_minor)
    )
    SELECT a.customer, a.number, a.currency, a.amount_minor, min(p.id) AS payment
    FROM asked a JOIN customers c ON c.number = a.customer JOIN payments p ON p.customer_id = c.id
    WHERE p.method = 'check' AND p.number = a.number AND p.currency = a.currency AND p.total_minor = a.amount_minor
      AND p.state NOT IN ('cancelled', 'voided')
    GROUP BY a.customer, a.number, a.currency, a.amount_minor""")
_RECORDED: Final = text("""
    SELECT p.idempotency_key, c.number AS customer FROM payments p JOIN customers c ON c.id = p.customer_id
    WHERE p.caller = :caller AND p.idempotency_key = ANY(CAST(:keys AS text[]))""")


# Of two files at once each might see the same invoice unpaid, and by its amount take an item for it.
_ALONE_NOW: Final = text("SELECT pg_try_advisory_lock(hashtextextended('defray remittances import', 0))")
_NOT_ALONE: Final = text("SELECT pg_advisory_unlock(hashtextextended('defray remittances import', 0))")


@contextmanager
def alone(conn: Connection) -> Iterator[None]:
    """Be the only one who imports a bank's file, until the block ends. Raises MoveRefused."""
    if not conn.execute(_ALONE_NOW).scalar_one():
        raise MoveRefused("Another import of a bank's file is under way.", "Wait until it has ended.")
    try:
        yield
    finally:
        conn.execute(_NOT_ALONE)


def known(conn: Connection, words: Collection[str], amounts: Collection[tuple[str, int]]) -> Known:
    """What there is by these numbers, and what is open by these amounts, each with its currency."""
    asked = {"words": sorted(words)}
    invoices: dict[str, list[Owed]] = defaultdict(list)
    for row in conn.execute(_INVOICES, asked):
        invoices[row.number].append(Owed(row.customer, row.number, row.currency, row.balance_minor))
    customers = {row.id: row.number for row in conn.execute(_CUSTOMERS, asked)}
    minors = [minor for _, minor in amounts]
    alone = conn.execute(_ALONE, {"currencies": [currency for currency, _ in amounts], "amounts": minors})
    owing = conn.execute(_OWING, {"customers": list(customers), "amounts": minors})
    return Known(
        dict(invoices),
        frozenset(customers.values()),
        {(row.currency, row.balance_minor): Owed(*row) for row in alone},
        frozenset((row.number, row.currency, row.balance_minor) for row in owing),
    )


def checks(conn: Connection, asked: Collection[Check]) -> dict[Check, int]:
    """Those of the checks that a payment came by, entered by hand or from a file, each with the payment."""
    customers, numbers, currencies, amounts = ([one[part] for one in asked] for part in range(4))
    values = {"customers": customers, "numbers": numbers, "currencies": currencies, "amounts": amounts}
    return {Check(*row[:4]): row.payment for row in conn.execute(_CHECKS, values)}


def recorded(conn: Connection, caller: str, keys: Collection[str]) -> dict[str, str]:
    """Those of the keys that a payment has already (R15), each with the number of its customer."""
    found = conn.execute(_RECORDED, {"caller": caller, "keys": list(keys)})
    return {row.idempotency_key: row.customer for row in found}
