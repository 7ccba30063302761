"""The sample that `make run` works on: invented customers and invoices, and a batch that shows every way to pay.

All of it follows from one seed. The cards are the sandbox's test numbers and numbers drawn at random that no bank gave
out; a gateway that is not a sandbox declines them.
"""

from __future__ import annotations

import csv
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Final, NamedTuple

from sqlalchemy import Engine

from producer.files import FileOptions, FileReceipt, import_customers, import_invoices
from producer.payments import Producer
from producer.receipts import BatchReceipt
from rules.cards import Card, luhn_valid
from rules.methods import Method
from rules.money import to_decimal

CALLER: Final = "sample"
BATCH_KEY: Final = "sample-1"

_CUSTOMERS: Final = 60
_FIRST_BILLED: Final = date(2026, 1, 5)
_CURRENCY: Final = "USD"
_FIRST_WORDS: Final = "Amber Birch Cedar Delta Ember Fern Granite Harbor Iris Juniper Kestrel Linden".split()
_SECOND_WORDS: Final = "Bakery Books Clinic Dental Farms Gallery Hardware Legal Motors Studio".split()
_METHODS: Final = (
    (Method.CREDIT_CARD, 60),
    (Method.CHECK, 18),
    (Method.CASH, 8),
    (Method.PAYPAL, 6),
    (Method.MONEY_ORDER, 5),
    (Method.OTHER, 3),
)
_PREFIXES: Final = ("4539", "4716", "5424", "5191", "37144", "601100")

# The sandbox's test numbers: what the issuer says to each.
_NO_FUNDS: Final = "4000000000009995"  # soft: retried
_DO_NOT_HONOUR: Final = "4000000000000002"
_LOST: Final = "4000000000009987"  # hard: never again
_NO_SUCH_ACCOUNT: Final = "4000000000000051"
_DECLINED_ONCE: Final = "400005000001000"  # and its check digit: declines once, then approves


class Invoice(NamedTuple):
    """An invoice of the sample; `total_minor` in cents."""

    customer: str
    number: str
    issued: date
    due: date
    total_minor: int


@dataclass(frozen=True, slots=True)
class Asked:
    """A payment of the sample; its card, if any, is the `card`-th of the sample's cards."""

    content: dict[str, object]
    card: int | None = None


@dataclass(frozen=True, slots=True)
class Sample:
    """Everything of one seed."""

    customers: tuple[tuple[str, str, str], ...]  # number, name, e-mail
    invoices: tuple[Invoice, ...]
    cards: tuple[Card, ...]
    payments: tuple[Asked, ...]


def draw(seed: int = 1) -> Sample:
    """The sample of a seed: the same on every machine."""
    source = random.Random(seed)  # noqa: S311 - nothing here is a secret
    drawing = _Drawing(source)
    for number in range(1, _CUSTOMERS + 1):
        drawing.ordinary_customer(number)
    drawing.special_customers(_CUSTOMERS + 1)
    return Sample(tuple(drawing.customers), tuple(drawing.invoices), tuple(drawing.cards), tuple(drawing.payments))


def write_files(sample: Sample, folder: Path) -> tuple[Path, Path]:
    """Write customers.csv and invoices.csv, to be imported like anybody's."""
    customers, invoices = folder / "customers.csv", folder / "invoices.csv"
    with customers.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("number", "name", "email"))
        writer.writerows(sample.customers)
    with invoices.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("customer", "invoice number", "invoice date", "due date", "currency", "amount"))
        for one in sample.invoices:
            amount = to_decimal(one.total_minor, _CURRENCY)
            writer.writerow((one.customer, one.number, one.issued, one.due, _CURRENCY, amount))
    return customers, invoices


def bill(sample: Sample, engine: Engine, folder: Path, by: str) -> tuple[FileReceipt, FileReceipt]:
    """Import the sample's customers and invoices; the second time nothing changes."""
    customers, invoices = write_files(sample, folder)
    return (
        import_customers(engine, customers, FileOptions(), by),
        import_invoices(engine, invoices, FileOptions(), by),
    )


def hand_in(sample: Sample, producer: Producer, by: str) -> BatchReceipt:
    """Hand in the sample's batch; where that was done before, only say which batch it is."""
    known = producer.find_batch(CALLER, BATCH_KEY)
    if known is not None:
        return BatchReceipt(known, 0, len(sample.payments), 0, ())
    tokens = [card.token for card in producer.keep_cards(sample.cards)]
    return producer.submit(
        requests(sample, tokens), label="the sample batch", caller=CALLER, idempotency_key=BATCH_KEY, by=by
    )


def requests(sample: Sample, tokens: Sequence[str]) -> Iterator[dict[str, object]]:
    """The batch, with the tokens under which the sample's cards were kept."""
    for place, asked in enumerate(sample.payments, start=1):
        card = {} if asked.card is None else {"card_token": tokens[asked.card]}
        yield {"idempotency_key": f"sample-1-{place}", "currency": _CURRENCY, **asked.content, **card}


class _Drawing:
    """The sample while it is being drawn."""

    def __init__(self, source: random.Random) -> None:
        self._source = source
        self.customers: list[tuple[str, str, str]] = []
        self.invoices: list[Invoice] = []
        self.cards: list[Card] = []
        self.payments: list[Asked] = []

    def ordinary_customer(self, number: int) -> None:
        """Some invoices, most of them paid one, two or three at a time, and now and then one in part."""
        customer = self._customer(number)
        invoices = [
            self._invoice(customer, self._source.randint(500, 30_000)) for _ in range(self._source.randint(4, 9))
        ]
        while invoices:
            named = [invoices.pop(0) for _ in range(min(len(invoices), self._source.choice((1, 1, 1, 2, 3))))]
            kind = self._source.random()
            if kind < 0.06:
                continue  # still owed
            owed = sum(one.total_minor for one in named)
            self._pay(customer, named, owed // 2 if kind < 0.12 else owed)

    def special_customers(self, number: int) -> None:
        """What should be seen at least once."""
        customer = self._customer(number)
        self._pay_by_card(customer, [self._invoice(customer, 8_000)], 10_000)  # R3: 20.00 become a credit
        customer = self._customer(number + 1)
        small = [self._invoice(customer, self._source.randint(300, 3_000)) for _ in range(60)]
        half = sum(one.total_minor for one in small[:50])
        content: dict[str, object] = {"number": "50117", "notes": "One check for fifty invoices, oldest first"}
        self._ask(customer, Method.CHECK, [], half, **content)
        declined_once = next(_DECLINED_ONCE + str(n) for n in range(10) if luhn_valid(_DECLINED_ONCE + str(n)))
        for place, card in enumerate((_NO_FUNDS, _DO_NOT_HONOUR, declined_once, _LOST, _NO_SUCH_ACCOUNT)):
            customer = self._customer(number + 2 + place)
            invoice = self._invoice(customer, self._source.randint(2_000, 9_000))
            self._pay_by_card(customer, [invoice], invoice.total_minor, card)

    def _customer(self, number: int) -> str:
        name = f"{self._source.choice(_FIRST_WORDS)} {self._source.choice(_SECOND_WORDS)}"
        customer = f"C-{number:04}"
        self.customers.append((customer, name, f"billing@{name.lower().replace(' ', '-')}.example"))
        return customer

    def _invoice(self, customer: str, total_minor: int) -> Invoice:
        issued = _FIRST_BILLED + timedelta(days=self._source.randrange(120))
        number = f"{len(self.invoices) + 1:07}"
        invoice = Invoice(customer, number, issued, issued + timedelta(days=30), total_minor)
        self.invoices.append(invoice)
        return invoice

    def _pay(self, customer: str, named: Sequence[Invoice], total_minor: int) -> None:
        methods, weights = zip(*_METHODS, strict=True)
        [method] = self._source.choices(methods, weights)
        if method is Method.CREDIT_CARD:
            self._pay_by_card(customer, named, total_minor)
        else:
            number = {"number": str(self._source.randint(1_000, 9_999))} if method.carries_number else {}
            self._ask(customer, method, named, total_minor, **number)

    def _pay_by_card(
        self, customer: str, named: Sequence[Invoice], total_minor: int, number: str | None = None
    ) -> None:
        self._ask(customer, Method.CREDIT_CARD, named, total_minor)
        self.payments[-1] = Asked(self.payments[-1].content, len(self.cards))
        self.cards.append(Card(number or self._card_number(), 12, 2039, name="Sample Customer"))

    def _ask(self, customer: str, method: Method, named: Sequence[Invoice], total_minor: int, **more: object) -> None:
        content: dict[str, object] = {
            "customer": customer,
            "method": method.value,
            "amount_minor": total_minor,
            **({"invoices": [one.number for one in named]} if named else {}),
            **more,
        }
        self.payments.append(Asked(content))

    def _card_number(self) -> str:
        prefix = self._source.choice(_PREFIXES)
        length = 14 if prefix.startswith("37") else 15
        digits = prefix + "".join(str(self._source.randrange(10)) for _ in range(length - len(prefix)))
        return next(digits + str(check) for check in range(10) if luhn_valid(digits + str(check)))
