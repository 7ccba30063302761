"""Whatever happens in whatever order, no money comes from nowhere and none is lost (R1-R4, R10, R14, B1, B2)."""

from __future__ import annotations

import itertools
from contextlib import suppress

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from books import credit
from books.audit import audit
from rules.errors import DefrayError
from sandbox.client import close, reset
from tests.flows.house import House, card

Act = tuple[str, int]
ACTS = (
    "bill",
    "check",
    "named check",
    "card",
    "lost answer",
    "never sent",
    "void",
    "settled void",
    "credit",
    "take back",
    "cancel",
    "keep",
    "work",
)
stories = st.lists(st.tuples(st.sampled_from(ACTS), st.integers(0, 9999)), min_size=3, max_size=14)
customers = itertools.count(1)


class Tale:
    """One customer's story, act by act."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.customer = f"C-{next(customers)}"
        self.invoices = 0
        house.bill(self.customer, {"000": 1})

    def owner(self) -> int:
        return int(self.house.row("SELECT id FROM customers WHERE number = :n", n=self.customer).id)

    def one_of(self, query: str, at: int) -> int | None:
        found = self.house.rows(query, owner=self.owner())
        return int(found[at % len(found)].id) if found else None

    def do(self, act: str, number: int) -> None:
        """Let one thing happen; what the rules refuse is refused whole."""
        house, amount = self.house, number + 1
        match act:
            case "bill":
                self.invoices += 1
                house.bill(self.customer, {f"{self.invoices:03}": amount})
            case "check":
                house.pay(amount, customer=self.customer, as_credit=True)
            case "named check":
                named = [f"{number % (self.invoices + 1):03}"]
                house.pay(amount, customer=self.customer, invoices=named, as_credit=True)
            case "card" | "lost answer" | "never sent":
                if act != "card":
                    before, after = ([], [reset()]) if act == "lost answer" else ([close()], [])
                    house.sandbox.client.scenario(before, after, operation="sale")
                house.pay(amount, card(), self.customer, as_credit=True, allow_overlap=number % 2 == 0)
                house.charge()
            case "void" | "settled void":
                if act == "settled void":
                    house.sandbox.client.settle()
                at = self.one_of("SELECT id FROM payments WHERE customer_id = :owner AND state = 'posted'", number)
                if at:
                    house.void(at, policy="ask" if number % 2 else "auto")
            case "credit":
                with house.context.transaction() as (conn, now):
                    today = house.context.terms.today(now)
                    credit.apply_to_invoices(conn, self.owner(), "USD", None, today, now, "sue")
            case "take back":
                at = self.one_of(
                    "SELECT a.id FROM allocations a JOIN credits c ON c.id = a.credit_id"
                    " WHERE c.customer_id = :owner AND a.reversed_minor = 0",
                    number,
                )
                if at:
                    with house.context.transaction() as (conn, now):
                        today = house.context.terms.today(now)
                        credit.take_back(conn, at, "wrong", today, now, "sue")
            case "cancel":
                at = self.one_of(
                    "SELECT id FROM payments WHERE customer_id = :owner AND state IN ('requested', 'charging')", number
                )
                if at:
                    house.cancel(at)
            case "keep":
                at = self.one_of("SELECT id FROM payments WHERE customer_id = :owner AND state = 'voided'", number)
                if at:
                    house.keep(at, apply_again=number % 2 == 0)
            case "work":
                house.advance(minutes=17)
                house.work()

    def adds_up(self) -> None:
        """What came in and was not given back is what was paid of invoices plus what is owed in credits."""
        row = self.house.row(
            """
            SELECT (SELECT coalesce(sum(coalesce(charged_minor, total_minor)), 0) FROM payments
                    WHERE customer_id = :owner AND state = 'posted')
                 + (SELECT coalesce(sum(r.amount_minor), 0) FROM reversals r JOIN payments p ON p.id = r.payment_id
                    WHERE p.customer_id = :owner AND r.state = 'kept') AS came_in,
                   (SELECT sum(total_minor - balance_minor) FROM invoices WHERE customer_id = :owner) AS paid,
                   (SELECT coalesce(sum(balance_minor), 0) FROM credits WHERE customer_id = :owner) AS credit""",
            owner=self.owner(),
        )
        assert row.came_in == row.paid + row.credit


@settings(
    max_examples=15,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(story=stories)
@example(story=[("card", 500), ("settled void", 1), ("work", 0), ("keep", 1), ("bill", 300), ("credit", 0)])
@example(
    story=[("check", 900), ("work", 0), ("bill", 300), ("credit", 0), ("take back", 0), ("credit", 0), ("void", 0)]
)
def test_money_is_kept(house: House, story: list[Act]) -> None:
    """B1, B2: after every act the customer's money adds up; at the end the books audit, the card paid what stands."""
    house.sandbox.client.forget()
    house.do("UPDATE clock SET ahead = '0'")
    tale = Tale(house)
    for act, number in story:
        with suppress(DefrayError):  # what the rules refuse moves nothing
            tale.do(act, number)
        tale.adds_up()
    house.sandbox.client.clear()
    for _ in range(4):
        house.advance(minutes=17)
        house.work()
    tale.adds_up()
    with house.engine.connect() as conn:
        assert audit(conn) == []
    assert sum(house.ledger().values()) == 0
    charged = house.row(
        "SELECT coalesce(sum(p.charged_minor), 0) AS charged FROM payments p JOIN customers c ON c.id = p.customer_id"
        " WHERE c.number = :n AND (p.state = 'posted' OR EXISTS (SELECT FROM reversals r WHERE r.payment_id = p.id"
        " AND r.state NOT IN ('voided', 'refunded', 'refund_accepted')))",
        n=tale.customer,
    ).charged
    assert house.sandbox.client.card("4111111111111111").net == charged
