"""How a program of your own hands payments to Defray: one at once, and a batch of any size.

    python examples/upstream_app.py CUSTOMER AMOUNT [INVOICE ...]

It pays the customer's invoices by check, first shows what the payment would do, and repeats itself without harm. The
settings (DEFRAY_DATABASE_URL, DEFRAY_REDIS_URL ...) are those of the workers; `defray up` prints them.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

import settings
from producer import Producer, connected
from rules.errors import DefrayError
from rules.money import for_people


def main() -> int:
    """Pay once alone and once in a batch, and say what came of it."""
    customer, amount, *invoices = sys.argv[1:]
    configured = settings.load(os.environ)
    database_url, redis_url = configured.servers()
    with connected(
        database_url,
        redis_url,
        configured.key_file,
        configured.card_routes,
        configured.business_time_zone,
        configured.lanes,
        configured.when_owed_less,
        "upstream app",
    ) as producer:
        try:
            pay_one(producer, customer, amount, invoices)
        except DefrayError as refused:  # RequestRefused has each fault with its field; KeyReused is for other content
            print(refused)
            return 1
        pay_many(producer, customer)
    return 0


def pay_one(producer: Producer, customer: str, amount: str, invoices: list[str]) -> None:
    """One payment that somebody waits for. The key is the app's own name for the wish to pay, never for the try."""
    request: dict[str, object] = {
        "idempotency_key": f"upstream-{customer}-{amount}",
        "customer": customer,
        "method": "check",
        "number": "1001",
        "currency": "USD",
        "amount": amount,
    }
    if invoices:
        request["invoices"] = invoices
    shown = producer.preview(request)
    for line in shown.lines:
        if line.applied_minor:
            print(f"would apply {for_people(line.applied_minor, shown.currency)} to invoice {line.invoice}")
    print(f"would leave a credit of {for_people(shown.credit_minor, shown.currency)}")
    recorded = producer.pay(request, caller="upstream", by="upstream app")
    print(f"payment {recorded.payment_id} {'was recorded' if recorded.new else 'had been recorded before'}")


def pay_many(producer: Producer, customer: str) -> None:
    """A batch is read as a stream, so that it may be of any size; all of it is recorded, or nothing."""

    def requests() -> Iterator[dict[str, object]]:
        for place in range(1, 1_001):
            yield {
                "idempotency_key": f"upstream-run-7-{place}",
                "customer": customer,
                "method": "cash",
                "currency": "USD",
                "amount_minor": 1,
                "as_credit": True,
            }

    receipt = producer.submit(
        requests(), label="the upstream app's run 7", caller="upstream", idempotency_key="run-7", by="upstream app"
    )
    counts = f"{receipt.recorded} recorded, {receipt.repeated} before, {receipt.refused_count} refused"
    print(f"batch {receipt.batch_id}: {counts}")
    for row, faults in receipt.refused:
        print(f"row {row}: {'; '.join(map(str, faults))}")


if __name__ == "__main__":
    raise SystemExit(main())
