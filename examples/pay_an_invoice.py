"""An upstream app over HTTP: bills a customer, pays by card, follows the payment, shows what came of it.

    DEFRAY=http://127.0.0.1:8000 KEY=dfk_live_... python examples/pay_an_invoice.py ORDER

It needs nothing but requests. ORDER is the app's own name for what is sold: run again with the same one, after a lost
connection or for no reason at all, it bills and charges nothing twice, since every write bears a key made of it.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from typing import Any

import requests

TRIES = 6
TIMEOUT = (3.05, 30)
AGAIN = {429, 500, 502, 503, 504}


class Problem(Exception):
    """Defray says no: `type` stays the same for good, so that a program may branch on it."""

    def __init__(self, said: dict[str, Any]) -> None:
        faults = [f"{one['field']}: {one['problem']}. {one['remedy']}." for one in said.get("faults", [])]
        super().__init__(" ".join(faults) or said["detail"])
        self.type: str = said["type"]


class Defray:
    """The calls that this app makes."""

    def __init__(self, address: str, key: str) -> None:
        self._address = address.rstrip("/")
        self._session = requests.Session()
        self._session.headers["Authorization"] = f"Bearer {key}"

    def get(self, path: str) -> Any:
        """Look."""
        return self._call("GET", path)

    def post(self, path: str, idempotency_key: str | None = None, **body: Any) -> Any:
        """Write; whatever becomes of the first answer, the same key makes it happen once."""
        return self._call("POST", path, body, {"Idempotency-Key": idempotency_key} if idempotency_key else {})

    def follow(self, path: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """What happens, as it happens, until its end: kind and data of server-sent events."""
        seen = ""
        for _ in range(TRIES):
            try:
                for kind, data, last in self._listen(path, seen):
                    seen = last
                    yield kind, data
                    if kind == "end":
                        return
            except requests.RequestException:
                time.sleep(1)
        raise TimeoutError(f"{path} has not ended")

    def _listen(self, path: str, seen: str) -> Iterator[tuple[str, dict[str, Any], str]]:
        headers = {"Last-Event-ID": seen} if seen else {}
        with self._session.get(self._address + path, headers=headers, stream=True, timeout=TIMEOUT) as answer:
            if not answer.ok:
                raise Problem(answer.json())
            kind = ""
            for line in answer.iter_lines(chunk_size=1, decode_unicode=True):
                name, _, value = line.partition(": ")
                if name == "event":
                    kind = value
                elif name == "id":
                    seen = value
                elif name == "data":
                    yield kind, json.loads(value), seen

    def _call(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Any:
        for attempt in range(1, TRIES + 1):
            wait = 0.2 * 2**attempt
            try:
                answer = self._session.request(
                    method, self._address + path, json=body, headers=headers, timeout=TIMEOUT
                )
            except (requests.ConnectionError, requests.Timeout):
                if attempt == TRIES:
                    raise
            else:
                if answer.ok:
                    return answer.json()
                problem = Problem(answer.json())
                under_way = problem.type == "/problems/idempotency-key-in-flight"
                if attempt == TRIES or not (under_way or answer.status_code in AGAIN):
                    raise problem
                wait = float(answer.headers.get("Retry-After", wait))
            time.sleep(wait)
        raise AssertionError


def sell(defray: Defray, order: str) -> bool:
    """Bill and charge one order; whether it is paid."""
    customer = f"C-{order}"
    defray.post("/v1/customers", f"{order}-customer", number=customer, name="Hazel Ng")
    days = {"invoice_date": "2026-01-05", "due_date": "2026-02-05"}
    billed = {"customer": customer, "number": order, "currency": "USD", "amount_minor": 1250, **days}
    invoice = defray.post("/v1/invoices", f"{order}-invoice", **billed)

    # In a shop the payer's browser or the app's own card form sends this; the app keeps the token only.
    card = defray.post("/v1/cards", customer=customer, number="4111111111111111", expiry="12/39", security_code="123")
    payment = defray.post(
        "/v1/payments",
        f"{order}-payment",
        customer=customer,
        method="credit_card",
        card_token=card["token"],
        currency="USD",
        amount_minor=1250,
        invoices=[order],
        attended=True,
    )
    for kind, said in defray.follow(f"/v1/payments/{payment['id']}/progress"):
        if "words" in said:
            print(f"  {kind}: {said['words']}")

    payment = defray.get(f"/v1/payments/{payment['id']}?fields=id,state,applied_minor,card,post_date")
    invoice = defray.get(f"/v1/invoices/{invoice['id']}")
    print(f"payment {payment['id']} is {payment['state']}, invoice {invoice['number']} is {invoice['state']}:")
    card_words = f"{payment['card']['brand']} ending in {payment['card']['last_four']}"
    print(
        f"  {payment['applied_minor']} minor units of {invoice['currency']} by {card_words} on {payment['post_date']}"
    )
    return bool(invoice["state"] == "paid")


def main() -> int:
    """Sell what the command line names."""
    try:
        return 0 if sell(Defray(os.environ["DEFRAY"], os.environ["KEY"]), sys.argv[1]) else 1
    except Problem as problem:
        print(f"{problem.type}: {problem}")
        return 1


if __name__ == "__main__":
    raise SystemExit(main())
