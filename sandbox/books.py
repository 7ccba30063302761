"""What the sandbox was asked to do: transactions by their ids, our references and cards; settlement; a state file.

Amounts are integer minor units, times are seconds since the epoch by the sandbox's clock. A card is kept as a
keyed hash and its last four digits. With a state file (SQLite) every booking is committed before it is answered.
"""

import secrets
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import astuple, dataclass, fields
from enum import StrEnum
from pathlib import Path

from sandbox.cards import TEST_CARDS, Issuer, acceptable, card_hash
from sandbox.clock import Clock, next_cutoff


class State(StrEnum):
    """Where a transaction stands at the gateway."""

    REFUSED = "refused"
    """Not done: wrong request, unknown original, void or refund not possible."""
    DECLINED = "declined"
    REVIEW = "review"
    AUTHORIZED = "authorized"
    CAPTURED = "captured"
    """An authorization that a capture took over."""
    APPROVED = "approved"
    """Done and not settled yet."""
    SETTLING = "settling"
    SETTLED = "settled"
    VOIDED = "voided"
    DONE = "done"
    """Done with nothing to settle: a void, an inquiry."""


@dataclass(slots=True)
class Transaction:
    """One operation that a gateway answered."""

    gateway: str
    id: str
    operation: str
    """`sale`, `authorization`, `capture`, `void`, `refund` or `inquiry`."""
    reference: str = ""
    """The merchant's reference (Payflow CUSTREF, Plug'n Pay orderID)."""
    request_id: str = ""
    order_id: str = ""
    """Payflow's ORDERID, a second guard against duplicates."""
    original: str = ""
    """The id of the transaction that this one works on."""
    card_hash: str = ""
    last4: str = ""
    expiry: str = ""
    amount: int = 0
    currency: str = ""
    state: str = State.REFUSED
    code: str = ""
    message: str = ""
    auth_code: str = ""
    checks: str = ""
    """Address and security code results, in the gateway's own letters, joined by commas."""
    booked_at: float = 0.0
    settled_at: float = 0.0
    batch: int = 0
    refunded: int = 0
    inquiries: int = 0
    reply: str = ""
    """The answer as it was given, without secrets, for repeats."""
    credential: str = ""
    """What was told of a stored card: who began it, first or later use, what was agreed, what it refers to."""

    @property
    def charged(self) -> bool:
        """Whether this is a sale or capture that the issuer approved (it may have been voided since)."""
        return self.operation in CHARGES and self.state in APPROVED_STATES

    @property
    def standing(self) -> bool:
        """Whether this charge still holds: approved and not voided."""
        return self.charged and self.state != State.VOIDED


CHARGES = frozenset({"sale", "capture"})
APPROVED_STATES = frozenset({State.APPROVED, State.SETTLING, State.SETTLED, State.VOIDED})
UNSETTLED = frozenset({State.APPROVED, State.SETTLING})

_COLUMNS = [field.name for field in fields(Transaction)]
_SCHEMA = f"""
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS transactions ({", ".join(_COLUMNS)}, PRIMARY KEY (gateway, id));
"""
_SAVE = (
    f"INSERT INTO transactions VALUES ({', '.join('?' * len(_COLUMNS))}) ON CONFLICT (gateway, id) DO UPDATE SET "  # noqa: S608
    + ", ".join(f"{name}=excluded.{name}" for name in _COLUMNS if name not in {"gateway", "id"})
)
_SAVE_FACT = "INSERT INTO facts VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value"


class Books:
    """All transactions of all gateways, in memory, and in `state_file` if one is given.

    `cutoff` is the daily hour and minute (UTC) at which what is unsettled is swept into a batch;
    `settling_seconds` later the batch is settled.
    """

    def __init__(
        self,
        clock: Clock,
        state_file: Path | None = None,
        cutoff: tuple[int, int] = (2, 0),
        settling_seconds: float = 0.0,
    ) -> None:
        self.clock = clock
        self._cutoff = cutoff
        self._settling_seconds = settling_seconds
        self._file = _open(state_file) if state_file else None
        facts = dict(self._file.execute("SELECT name, value FROM facts")) if self._file else {}
        self._salt = bytes.fromhex(facts.get("salt", "")) or secrets.token_bytes(16)
        clock.shift = float(facts.get("clock_shift", clock.shift))
        self._clear()
        self._batch = int(facts.get("batch", 0))
        self.next_sweep = float(facts.get("next_sweep", next_cutoff(clock.now(), *cutoff)))
        self._settle_due = float(facts.get("settle_due", "inf"))
        self._test_cards = {self.hash_card(number): issuer for number, issuer in TEST_CARDS.items()}
        if self._file:
            for row in self._file.execute(f"SELECT {', '.join(_COLUMNS)} FROM transactions ORDER BY rowid"):  # noqa: S608
                self._index(Transaction(*row))
            self._save_facts()

    def _clear(self) -> None:
        self._by_id: dict[tuple[str, str], Transaction] = {}
        self._by_reference: dict[tuple[str, str], list[Transaction]] = {}
        self._by_request: dict[tuple[str, str], Transaction] = {}
        self._by_order: dict[tuple[str, str], Transaction] = {}
        self._by_card: dict[str, list[Transaction]] = {}
        self._unsettled: dict[tuple[str, str], Transaction] = {}
        self._batch = 0

    def _index(self, transaction: Transaction) -> None:
        gateway = transaction.gateway
        key = (gateway, transaction.id)
        self._by_id[key] = transaction
        if transaction.request_id:
            self._by_request[gateway, transaction.request_id] = transaction
        if transaction.order_id:
            self._by_order.setdefault((gateway, transaction.order_id), transaction)
        if transaction.operation == "inquiry":
            return
        if transaction.reference:
            self._by_reference.setdefault((gateway, transaction.reference), []).append(transaction)
        if transaction.card_hash:
            self._by_card.setdefault(transaction.card_hash, []).append(transaction)
        if transaction.state in UNSETTLED:
            self._unsettled[key] = transaction

    # -- booking

    def book(self, transaction: Transaction, *changed: Transaction) -> None:
        """Enter a new transaction and what it changed in others, durably if there is a state file."""
        self._index(transaction)
        for other in changed:
            key = (other.gateway, other.id)
            if other.state in UNSETTLED:
                self._unsettled[key] = other
            else:
                self._unsettled.pop(key, None)
        if self._file:
            if changed:
                self._save((transaction, *changed))
            else:
                self._file.execute(_SAVE, astuple(transaction))

    def save(self, transaction: Transaction) -> None:
        """Keep a change that was made to a booked transaction."""
        key = (transaction.gateway, transaction.id)
        if transaction.state in UNSETTLED:
            self._unsettled[key] = transaction
        else:
            self._unsettled.pop(key, None)
        self._save((transaction,))

    def _save(self, transactions: Iterable[Transaction]) -> None:
        if self._file:
            self._file.execute("BEGIN")
            self._file.executemany(_SAVE, map(astuple, transactions))
            self._file.execute("COMMIT")

    def _save_facts(self) -> None:
        if self._file:
            facts = {
                "salt": self._salt.hex(),
                "clock_shift": repr(self.clock.shift),
                "batch": str(self._batch),
                "next_sweep": repr(self.next_sweep),
                "settle_due": repr(self._settle_due),
            }
            self._file.execute("BEGIN")
            self._file.executemany(_SAVE_FACT, facts.items())
            self._file.execute("COMMIT")

    def forget(self) -> None:
        """Empty the books, the state file included, and set the clock to real time."""
        self._clear()
        self.clock.shift = 0.0
        self.next_sweep = next_cutoff(self.clock.now(), *self._cutoff)
        if self._file:
            self._file.execute("DELETE FROM transactions")
        self._settle_due = float("inf")
        self._save_facts()

    def close(self) -> None:
        if self._file:
            self._file.close()

    # -- looking up

    def hash_card(self, number: str) -> str:
        """The keyed hash that stands for a card number in these books."""
        return card_hash(number, self._salt)

    def issuer_of(self, hashed: str) -> Issuer:
        """What the issuer of a card says by the table of test cards."""
        return self._test_cards.get(hashed, Issuer.APPROVES)

    def find(self, gateway: str, transaction_id: str) -> Transaction | None:
        return self._by_id.get((gateway, transaction_id))

    def by_request(self, gateway: str, request_id: str) -> Transaction | None:
        return self._by_request.get((gateway, request_id))

    def by_order(self, gateway: str, order_id: str) -> Transaction | None:
        return self._by_order.get((gateway, order_id))

    def by_reference(self, gateway: str, reference: str) -> list[Transaction]:
        """All transactions under the merchant's reference, oldest first."""
        return self._by_reference.get((gateway, reference), [])

    def declines_of(self, hashed: str) -> int:
        """How often a card was declined."""
        return sum(1 for one in self._by_card.get(hashed, ()) if one.state == State.DECLINED)

    def search(self, **wanted: str) -> Iterator[Transaction]:
        """Transactions that match all given fields; `card` may be a number, a hash or the last four digits."""
        card = wanted.pop("card", "")
        reference = wanted.get("reference", "")
        found: Iterable[Transaction] = self._by_id.values()
        if card:
            hashed = self.hash_card(card) if acceptable(card) else card
            last4 = (one for one in found if one.last4 == card) if len(card) == 4 else ()
            found = self._by_card.get(hashed) or last4
        elif reference and wanted.get("gateway"):
            found = self.by_reference(wanted["gateway"], reference)
        for one in found:
            if all(getattr(one, name) == value for name, value in wanted.items()):
                yield one

    def charges(self) -> dict[str, dict[str, dict[str, int]]]:
        """By gateway and currency: counts and sums (minor units) of what was charged and given back."""
        sums: dict[str, dict[str, dict[str, int]]] = {}
        for one in self._by_id.values():
            if one.operation not in ("sale", "capture", "refund"):
                continue
            line = sums.setdefault(one.gateway, {}).setdefault(one.currency, dict.fromkeys(_SUMMARY, 0))
            if one.operation == "refund":
                if one.state in APPROVED_STATES and one.state != State.VOIDED:
                    line["refunds"] += 1
                    line["refunded"] += one.amount
                    line["net"] -= one.amount
            elif one.charged:
                line["approved"] += 1
                line["charged"] += one.amount
                if one.state == State.VOIDED:
                    line["voids"] += 1
                    line["voided"] += one.amount
                else:
                    line["net"] += one.amount
            elif one.state == State.DECLINED:
                line["declined"] += 1
            elif one.state == State.REVIEW:
                line["in_review"] += 1
        return sums

    # -- settlement

    def tick(self) -> None:
        """Sweep and settle if the clock has passed a cut-off since the last look."""
        now = self.clock.now()
        if now >= self._settle_due:
            self.settle(at=self._settle_due)
        if now < self.next_sweep:
            return
        last = self.next_sweep
        self.sweep(at=last)
        if now >= last + self._settling_seconds:
            self.settle(at=last + self._settling_seconds)
        else:
            self._settle_due = last + self._settling_seconds
        self.next_sweep = next_cutoff(now, *self._cutoff)
        self._save_facts()

    def sweep(self, gateway: str = "", at: float | None = None) -> int:
        """Put everything unsettled into a batch: no void is possible any more. Returns how many."""
        swept = [
            one for one in self._unsettled.values() if one.state == State.APPROVED and gateway in ("", one.gateway)
        ]
        if swept:
            self._batch += 1
        for one in swept:
            one.state = State.SETTLING
            one.batch = self._batch
            one.settled_at = self.clock.now() if at is None else at
        self._save(swept)
        self._save_facts()
        return len(swept)

    def settle(self, gateway: str = "", at: float | None = None) -> int:
        """Settle what was swept. Returns how many."""
        settled = [
            one for one in self._unsettled.values() if one.state == State.SETTLING and gateway in ("", one.gateway)
        ]
        for one in settled:
            one.state = State.SETTLED
            one.settled_at = self.clock.now() if at is None else at
            del self._unsettled[one.gateway, one.id]
        self._save(settled)
        if not gateway:
            self._settle_due = float("inf")
            self._save_facts()
        return len(settled)

    def settle_one(self, transaction: Transaction, to: State) -> None:
        """Move one transaction on to settling or settled, as a batch that ran this moment would."""
        if transaction.state not in UNSETTLED:
            return
        if not transaction.batch:
            self._batch += 1
            transaction.batch = self._batch
        transaction.state = to
        transaction.settled_at = self.clock.now()
        self.save(transaction)
        self._save_facts()

    def clock_moved(self) -> None:
        """Keep the clock's shift and settle what it passed; after a move back the next cut-off comes anew."""
        self.tick()
        self.next_sweep = next_cutoff(self.clock.now(), *self._cutoff)
        self._save_facts()


_SUMMARY = (
    "approved",
    "charged",
    "voids",
    "voided",
    "refunds",
    "refunded",
    "net",
    "declined",
    "in_review",
)


def _open(path: Path) -> sqlite3.Connection:
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    # A killed process loses nothing; only a crash of the machine could, and then the sandbox is gone with it.
    connection.execute("PRAGMA synchronous = OFF")
    connection.executescript(_SCHEMA)
    there = {row[1] for row in connection.execute("PRAGMA table_info(transactions)")}
    for name in _COLUMNS:
        if name not in there:  # a file of an earlier release
            connection.execute(f"ALTER TABLE transactions ADD COLUMN {name} DEFAULT ''")
    return connection
