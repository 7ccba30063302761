"""Receivables as an accounts department exports them: real ones where there are any, and our own of the same shape."""

from __future__ import annotations

import csv
import os
import random
from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

COLUMNS = (
    "countryCode,customerID,PaperlessDate,invoiceNumber,InvoiceDate,DueDate,InvoiceAmount,Disputed,SettledDate,"
    "PaperlessBill,DaysToSettle,DaysLate"
).split(",")


class Settled(NamedTuple):
    """What a customer paid on one day, and for which invoices."""

    customer: str
    day: date
    total_minor: int
    invoices: tuple[str, ...]


def real() -> Path | None:
    """The file that DEFRAY_RECEIVABLES names, or the one that lies beside the project; None where there is none."""
    named = os.environ.get("DEFRAY_RECEIVABLES")
    path = Path(named) if named else Path(__file__).parents[2] / "shared" / "data" / "receivables.csv"
    return path if path.is_file() else None


def write(path: Path, invoices: int = 2_466, customers: int = 100, seed: int = 1) -> Path:
    """Invent a file of the same shape: one, two or three invoices are settled on one day."""
    draw = random.Random(seed)
    ids = [
        f"{draw.randint(0, 9999):04}-{''.join(draw.choices('ABCDEFGHKLMNPQRSTUVXYZ', k=5))}" for _ in range(customers)
    ]
    settled = date(2013, 1, 1)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        left = invoices
        while left:
            customer = draw.choice(ids)
            settled += timedelta(days=draw.choice((0, 0, 0, 1)))
            together = min(left, draw.choices((1, 2, 3), (95, 4, 1))[0])
            for _ in range(together):
                issued = settled - timedelta(days=draw.randint(1, 60))
                writer.writerow(
                    {
                        "countryCode": draw.choice(("391", "406", "770")),
                        "customerID": customer,
                        "PaperlessDate": _written(settled),
                        "invoiceNumber": f"{left:010}",
                        "InvoiceDate": _written(issued),
                        "DueDate": _written(issued + timedelta(days=30)),
                        "InvoiceAmount": f"{Decimal(draw.randint(500, 13_000)).scaleb(-2).normalize():f}",
                        "Disputed": draw.choice(("Yes", "No")),
                        "SettledDate": _written(settled),
                        "PaperlessBill": draw.choice(("Paper", "Electronic")),
                        "DaysToSettle": str((settled - issued).days),
                        "DaysLate": str(max(0, (settled - issued).days - 30)),
                    }
                )
                left -= 1
    return path


def settled(path: Path) -> list[Settled]:
    """The rows by customer and day of settlement, as payments in the order of the days."""
    days: dict[tuple[date, str], list[tuple[str, int]]] = {}
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            key = _read(row["SettledDate"]), row["customerID"]
            days.setdefault(key, []).append((row["invoiceNumber"], int(Decimal(row["InvoiceAmount"]).scaleb(2))))
    return [
        Settled(customer, day, sum(amount for _, amount in paid), tuple(number for number, _ in paid))
        for (day, customer), paid in sorted(days.items())
    ]


def requests(payments: list[Settled], naming: bool = True, **fields: object) -> Iterator[dict[str, object]]:
    """The payments as requests, by check unless `fields` say otherwise."""
    for one in payments:
        yield {
            "idempotency_key": f"{one.customer} {one.day}",
            "customer": one.customer,
            "method": "check",
            "currency": "USD",
            "amount_minor": one.total_minor,
            "post_date": one.day,
            **({"invoices": list(one.invoices)} if naming else {}),
            **fields,
        }


def _written(day: date) -> str:
    return f"{day.month}/{day.day}/{day.year}"


def _read(text: str) -> date:
    month, day, year = map(int, text.split("/"))
    return date(year, month, day)
