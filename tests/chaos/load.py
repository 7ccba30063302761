"""What upstream apps do meanwhile: a batch, single payments, voids and refunds, each asked for until it is answered."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

import requests
from sqlalchemy.exc import SQLAlchemyError

from books import api_keys, clock
from books.bill import NewCustomer, NewInvoice, record_customers, record_invoices
from rules.apps import Scope
from rules.cards import Card
from tests.chaos.site import Site
from tests.faults.plant import BILLED, DUE, amex, declined_once, mastercard, numbers, visa

SECRET: Final = "dfk_live_chaos-of-tests"
_ANSWER_WITHIN: Final = 5.0


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """What the API said that it had taken: the verb, the payment, and under which key."""

    verb: str
    payment_id: int
    key: str


@dataclass
class Load:
    """The work of one seed. Every card payment has an amount of its own, by which the gateways' books are compared."""

    site: Site
    seed: int
    batch_size: int
    singles: int
    amounts: int = 0
    acknowledged: list[Acknowledged] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)
    troubles: Counter[str] = field(default_factory=Counter)
    batches: list[int] = field(default_factory=list)
    given_up: threading.Event = field(default_factory=threading.Event)

    def prepare(self) -> None:
        """Customers, invoices, cards and the apps' key; no fault happens yet."""
        site, prefix = self.site, f"S{self.seed}"
        total = self.batch_size + self.singles
        cards = self._cards(total)
        names = [f"{prefix}-{place}" for place in range(total)]
        customers = [f"{prefix}-{place * 4 // 5}" for place in range(total)]  # some have several payments at once
        with site.engine.begin() as conn:
            now = clock.now(conn)
            record_customers(conn, [NewCustomer(name) for name in dict.fromkeys(customers)], now, "test")
            record_invoices(
                conn,
                [
                    NewInvoice(who, f"I-{name}", BILLED, DUE, "USD", self.amount(place))
                    for place, (who, name) in enumerate(zip(customers, names, strict=True))
                ],
                now,
                "test",
            )
        self._know_the_key()
        sealed = site.producer.keep_cards([Card(one, 12, 2039, _code(one), "Ann Example") for one in cards])
        self._asked = [
            {
                "method": "credit_card",
                "currency": "USD",
                "customer": who,
                "amount_minor": self.amount(place),
                "invoices": [f"I-{name}"],
                "card_token": card.token,
            }
            for place, (who, name, card) in enumerate(zip(customers, names, sealed, strict=True))
        ]
        for place in range(0, self.batch_size, 25):  # and some by check
            asked = self._asked[place]
            del asked["card_token"]
            asked["method"] = "check"

    def amount(self, place: int) -> int:
        """In cents: each another one."""
        return 10_000 + (self.amounts + place) * 7

    def _know_the_key(self) -> None:
        with self.site.engine.begin() as conn:
            if not api_keys.everybody(conn):
                api_keys.add(conn, f"apps {self.seed}", SECRET, tuple(Scope), None, clock.now(conn), "ada")

    def _cards(self, count: int) -> list[str]:
        each = -(-count // 10)
        made = [
            *visa(4 * each),
            *mastercard(2 * each),
            *amex(2 * each),
            *numbers("6011", 2 * each),
        ]
        random.Random(self.seed).shuffle(made)
        made[3::50] = declined_once(len(made[3::50]))
        return made[:count]

    # ---- what the apps do

    def start(self, apps: int) -> None:
        """Let the apps begin: the first one hands the batch in."""
        self._over = threading.Event()
        self._handed_in = threading.Event()
        self._singles = iter(range(self.batch_size, self.batch_size + self.singles))
        self._taking = threading.Lock()
        self._threads = [
            threading.Thread(target=self._work, args=(number,), name=f"app {number}", daemon=True)
            for number in range(apps)
        ]
        for one in self._threads:
            one.start()

    @property
    def handed_in(self) -> bool:
        """Whether the API took the batch, or somebody gave up."""
        return self._handed_in.is_set() or self.given_up.is_set()

    @property
    def at_work(self) -> bool:
        """Whether an app has something left to ask for."""
        return any(one.is_alive() for one in self._threads)

    def finish(self, seconds: float) -> None:
        """Let each app end what it began: what was asked for is asked for until it is answered."""
        self._over.set()
        given_up = time.monotonic() + seconds
        for one in self._threads:
            one.join(max(0.1, given_up - time.monotonic()))
        assert not self.at_work, (
            f"within {seconds:g} s of the end of all faults the API did not answer: {self.troubles}"
        )

    def stop(self) -> None:
        """Let nobody ask any more, answered or not."""
        self._over.set()
        self.given_up.set()
        for one in self._threads:
            one.join(10)

    def _work(self, number: int) -> None:
        draw = random.Random(f"{self.seed} {number}")
        with requests.Session() as session:
            session.trust_env = False
            app = _App(self, session, f"{self.seed}-{number}")
            if number == 0:
                self._hand_in(app)
            self._handed_in.wait()
            while not self._over.is_set():
                act = draw.choices((self._pay, self._void, self._refund), (4, 2, 2))[0]
                act(app, draw)
                time.sleep(0.02)

    def _hand_in(self, app: _App) -> None:
        said = app.ask("batch", "/v1/batches", {"label": "chaos", "payments": self._asked[: self.batch_size]})
        if said is not None:
            self.batches.append(int(said["id"]))
        self._handed_in.set()

    def _pay(self, app: _App, draw: random.Random) -> None:
        del draw
        with self._taking:
            place = next(self._singles, None)
        if place is None:
            time.sleep(0.1)
            return
        app.ask("pay", "/v1/payments", self._asked[place])

    def _void(self, app: _App, draw: random.Random) -> None:
        if found := self._posted(draw):
            app.ask("void", f"/v1/payments/{found.id}/void", {"reason": "wrong customer"}, found.id)

    def _refund(self, app: _App, draw: random.Random) -> None:
        if found := self._posted(draw):
            part = {} if draw.random() < 0.3 else {"amount_minor": draw.randint(1, found.total_minor // 2)}
            app.ask("refund", f"/v1/payments/{found.id}/refund", {"reason": "goods returned", **part}, found.id)

    def _posted(self, draw: random.Random) -> Any:
        """Any payment that an app might give back."""
        with suppress(SQLAlchemyError, IndexError):
            found = self.site.rows(
                "SELECT id, total_minor FROM payments WHERE state = 'posted' AND method = 'credit_card'"
                " ORDER BY id DESC LIMIT 50 OFFSET :n",
                n=draw.choice((0, 50, 500)),
            )
            return found[draw.randrange(len(found))] if found else None
        time.sleep(0.2)
        return None


class _App:
    """An upstream app: asks again, under the same key, until it is answered."""

    def __init__(self, load: Load, session: requests.Session, name: str) -> None:
        self._load = load
        self._session = session
        self._name = name
        self._number = 0

    def ask(self, verb: str, path: str, body: dict[str, Any], payment_id: int = 0) -> Any:
        """The answer to a write, None where it is a refusal."""
        self._number += 1
        key = f"{self._name}-{self._number}"
        headers = {"Authorization": f"Bearer {SECRET}", "Idempotency-Key": key}
        url = f"http://127.0.0.1:{self._load.site.web_port}{path}"
        while not self._load.given_up.is_set():
            try:
                answer = self._session.post(url, json=body, headers=headers, timeout=_ANSWER_WITHIN)
            except requests.RequestException as reason:
                self._load.troubles[type(reason).__name__] += 1
                time.sleep(0.2)
                continue
            if answer.status_code >= 500 or "Retry-After" in answer.headers:
                self._load.troubles[str(answer.status_code)] += 1
                time.sleep(0.2)
                continue
            said = answer.json()
            if not answer.ok:
                self._load.refused[f"{verb} {answer.status_code} {said.get('title')}"] += 1
                return None
            if verb != "batch":
                self._load.acknowledged.append(Acknowledged(verb, payment_id or int(said["id"]), key))
            return said
        return None


def _code(number: str) -> str:
    return "1234"[: 4 if number[0] == "3" else 3]
