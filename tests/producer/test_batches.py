"""A batch of any size: one transaction, a stream, whole or with its good rows only."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from producer.receipts import SHOWN_MAX
from tests.producer.office import GOOD_CARD, Office


def check(n: int, **fields: Any) -> dict[str, object]:
    """A request for a small check."""
    return {
        "idempotency_key": f"k{n}",
        "customer": "C-1",
        "method": "check",
        "currency": "USD",
        "amount_minor": 100,
        **fields,
    }


def test_a_batch(office: Office) -> None:
    """D1: a batch is recorded in one transaction, then the worker is woken for each step that is due."""
    office.bill("C-1", {"A": 10000})
    [card] = office.producer.keep_cards([GOOD_CARD])
    receipt = office.submit([check(1), check(2, method="credit_card", card_token=card.token), check(3)])
    assert (receipt.recorded, receipt.repeated, receipt.refused_count) == (3, 0, 0)
    assert office.rows("SELECT batch_id, next_step FROM payments ORDER BY id") == [
        (receipt.batch_id, "post"),
        (receipt.batch_id, "charge"),
        (receipt.batch_id, "post"),
    ]
    assert office.rows("SELECT label, state, created_by FROM batches") == [("a batch", "open", "ann")]
    assert office.bell.rung == [("batch", receipt.batch_id, "charge"), ("batch", receipt.batch_id, "post")]
    assert office.bell.lanes == [1, 1]
    assert office.rows("SELECT count(*) FROM events WHERE what = 'payment.requested' AND batch_id IS NOT NULL") == [
        (3,)
    ]


def test_one_bad_row_refuses_all(office: Office) -> None:
    """A batch is taken whole: one bad row, and nothing is recorded; all bad rows are told."""
    office.bill("C-1", {"A": 10000})
    rows = [
        check(1),
        check(2, amount_minor=0),
        check(3),
        check(4, customer="C-404", invoices=["A"]),
        check(1, notes="x"),
    ]
    receipt = office.submit(rows)
    assert (receipt.batch_id, receipt.recorded, receipt.refused_count) == (None, 0, 3)
    told = [(row, [fault.field for fault in faults]) for row, faults in receipt.refused]
    assert told == [(2, ["amount_minor"]), (4, ["customer"]), (5, ["idempotency_key"])]
    assert (office.count("payments"), office.count("batches"), office.bell.rung) == (0, 0, [])


def test_good_rows_only(office: Office) -> None:
    """With skip_bad the good rows are taken, also where a row turns out bad only beside the others (R8a)."""
    office.bill("C-1", {"A": 100, "B": 100})
    [card] = office.producer.keep_cards([GOOD_CARD])
    by_card = {"method": "credit_card", "card_token": card.token}
    rows = [
        check(1, invoices=["A"], **by_card),
        check(2, amount_minor=-5),
        check(3, invoices=["A"], **by_card),
        check(4, invoices=["A", "B"], amount_minor=150, **by_card),
        check(5, invoices=["B"], **by_card),
        check(6, invoices=["A"], allow_overlap=True, **by_card),
    ]
    receipt = office.submit(rows, skip_bad=True)
    assert (receipt.recorded, [refused.row for refused in receipt.refused]) == (3, [2, 3, 4])
    kept = office.rows("SELECT idempotency_key FROM payments ORDER BY id")
    assert kept == [("k1",), ("k5",), ("k6",)]
    told = office.rows("SELECT payment_id FROM events WHERE what = 'payment.requested' ORDER BY payment_id")
    assert told == office.rows("SELECT id FROM payments ORDER BY id")


def test_handed_in_twice(office: Office) -> None:
    """R15: a batch that comes again records nothing twice; a row that has become good since is taken then."""
    office.bill("C-1", {"A": 10000})
    rows = [check(1), check(2, customer="C-2"), check(1)]
    first = office.submit(rows, skip_bad=True)
    assert (first.recorded, first.repeated, first.refused_count) == (1, 1, 1)
    again = office.submit(rows, skip_bad=True)
    assert (again.batch_id, again.recorded, again.repeated) == (first.batch_id, 0, 2)
    assert office.producer.find_batch("shop", "batch-1") == first.batch_id
    assert office.producer.find_batch("another shop", "batch-1") is None
    office.bill("C-2", {"A": 10000})
    office.do("UPDATE batches SET state = 'done'")
    last = office.submit(rows, skip_bad=True)
    assert (last.batch_id, last.recorded, last.repeated, last.refused_count) == (first.batch_id, 1, 2, 0)
    assert office.rows("SELECT count(*), min(state) FROM batches") == [(1, "open")]


def test_handed_in_by_two_at_once(office: Office) -> None:
    """R15: of two that hand in one batch at once one records it, and both learn which batch it is."""
    office.bill("C-1", {"A": 10000})
    rows = [check(n) for n in range(50)]
    with ThreadPoolExecutor(4) as pool:
        receipts = list(pool.map(lambda _: office.submit(rows), range(4)))
    assert sorted((one.recorded, one.repeated) for one in receipts) == [(0, 50)] * 3 + [(50, 0)]
    assert len({one.batch_id for one in receipts}) == 1
    assert office.count("payments") == 50


def test_nothing_to_do(office: Office) -> None:
    """An empty batch is no batch."""
    assert office.submit([]).batch_id is None
    assert office.count("batches") == 0


def test_what_is_remembered_of_refused_rows_is_bounded(office: Office) -> None:
    """All refused rows are counted, the first thousand kept with their faults: memory stays flat."""
    receipt = office.submit({"customer": "C-1"} for _ in range(SHOWN_MAX + 5))
    assert (receipt.refused_count, len(receipt.refused)) == (SHOWN_MAX + 5, SHOWN_MAX)
    assert receipt.refused[-1].row == SHOWN_MAX


def test_memory_and_statements(office: Office, statements: Callable[[], int]) -> None:
    """A large batch needs a few statements for each thousand, and the memory of one group."""
    office.bill("C-1", {"A": 10**9, "B": 10**9})
    office.submit((check(-n) for n in range(1, 2_001)), key="warm")
    before = statements()
    peaks = []

    def stream(count: int) -> Iterator[dict[str, object]]:
        for n in range(count):
            yield check(count + n, invoices=["B", "A"])
            if n == 1_500:
                tracemalloc.reset_peak()

    tracemalloc.start()
    for size in (2_000, 8_000):
        assert office.submit(stream(size), key=f"of {size}").recorded == size
        peaks.append(tracemalloc.get_traced_memory()[1])
    tracemalloc.stop()
    assert office.bell.lanes[-1] == 2
    assert statements() - before < 10 * 8
    assert peaks[1] < peaks[0] + 2_000_000, peaks
    assert office.rows("SELECT count(*) FROM payments WHERE cardinality(invoice_ids) = 2") == [(10_000,)]


def test_ten_thousand_cards_of_one_customer(office: Office) -> None:
    """R8a: that each of them overlaps with none is found without comparing each with each."""
    owed = {f"I{n}": 100 for n in range(5_000)}
    office.bill("C-1", owed)
    [card] = office.producer.keep_cards([GOOD_CARD])
    by_card = {"method": "credit_card", "card_token": card.token}
    requests = [check(n, invoices=[f"I{n}"], **by_card) for n in range(5_000)]
    receipt = office.submit([*requests, check(5_000, invoices=["I7"], **by_card)], skip_bad=True)
    assert receipt.recorded == 5_000
    assert [refused.row for refused in receipt.refused] == [5_001]
    unnamed = office.submit([check(n, **by_card) for n in range(6_000, 9_000)], key="unnamed")
    assert unnamed.refused_count == 3_000
