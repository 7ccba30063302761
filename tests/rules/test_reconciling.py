"""B2, E4: which line of a report is which of our transactions, and in which group it ends."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.reconciling import Group, Kind, Ours, ReportLine, State, match

AT = datetime(2026, 3, 2, 12, tzinfo=UTC)
FIRST = 10**18
SALE = Ours(1, 11, "sale", FIRST, "T1", None, 1000, "USD", "approved")
REFUND = Ours(2, 11, "refund", FIRST + 1, "T2", 1, 400, "USD", "approved", reversal_id=5, reversal_state="refunded")


def line(kind: Kind = Kind.SALE, amount: int = 1000, **more: object) -> ReportLine:
    """A settled line of our first sale, unless `more` says otherwise."""
    return replace(ReportLine(1, kind, State.SETTLED, amount, "USD", AT, FIRST), **more)  # type: ignore[arg-type]


def group(one: ReportLine, *ours: Ours) -> Group:
    """Where a line ends."""
    [finding] = match([one], ours)
    return finding.group


@pytest.mark.parametrize(
    ("here", "there", "ends"),
    [
        ("approved", State.SETTLED, Group.MATCHED),
        ("approved", State.PENDING, Group.MATCHED),
        ("approved", State.VOIDED, Group.DIFFERS),
        ("approved", State.DECLINED, Group.DIFFERS),
        ("surplus", State.SETTLED, Group.MATCHED),
        ("unknown", State.SETTLED, Group.PROVEN),
        ("started", State.SETTLED, Group.PROVEN),
        ("review", State.SETTLED, Group.PROVEN),
        ("unknown", State.PENDING, Group.ASIDE),
        ("unknown", State.DECLINED, Group.DIFFERS),
        ("declined", State.SETTLED, Group.PROVEN),
        ("failed", State.SETTLED, Group.PROVEN),
        ("declined", State.PENDING, Group.DIFFERS),
        ("declined", State.DECLINED, Group.ASIDE),
        ("failed", State.VOIDED, Group.ASIDE),
    ],
)
def test_what_a_sale_is_here_and_there(here: str, there: State, ends: Group) -> None:
    """E4: only settled money proves an outcome; what is not settled yet proves nothing."""
    assert group(line(state=there), replace(SALE, state=here)) is ends


@pytest.mark.parametrize("here", ["approved", "unknown", "declined", "surplus"])
@pytest.mark.parametrize("change", [{"amount_minor": 999}, {"currency": "CAD"}])
def test_another_amount_or_currency_differs(here: str, change: dict[str, object]) -> None:
    """R18: a line of another amount or currency differs, whatever the state here; it proves nothing."""
    other = replace(line(), **change)  # type: ignore[arg-type]
    assert group(other, replace(SALE, state=here)) is Group.DIFFERS


def test_a_voided_sale() -> None:
    """R11: voided here and there is no difference, and no money; voided here but settled there differs."""
    voided = replace(SALE, voided=True)
    assert group(line(state=State.VOIDED), voided) is Group.ASIDE
    assert group(line(state=State.SETTLED), voided) is Group.DIFFERS


@pytest.mark.parametrize(
    ("transaction", "reversal", "ends"),
    [
        ("approved", "refunded", Group.MATCHED),
        ("approved", "refund_accepted", Group.PROVEN),
        ("unknown", "refunding", Group.PROVEN),
        ("approved", "failed", Group.DIFFERS),
        ("approved", "kept", Group.DIFFERS),
        ("declined", "failed", Group.DIFFERS),
    ],
)
def test_what_a_refund_is(transaction: str, reversal: str, ends: Group) -> None:
    """R17: an accepted refund that settled is final; one that failed here and was made there is for a person."""
    ours = replace(REFUND, state=transaction, reversal_state=reversal)
    assert group(line(Kind.REFUND, 400, reference=FIRST + 1), SALE, ours) is ends


def test_a_refund_is_found_through_its_sale() -> None:
    """B2: where a line names the sale only, its refund of that amount is taken, each once."""
    other = replace(REFUND, id=3, reference=FIRST + 2, transaction_id="T3", amount_minor=100)
    ours = [SALE, REFUND, other]
    by_reference = [line(Kind.REFUND, 100), line(Kind.REFUND, 400), line(Kind.REFUND, 400)]
    found = match(by_reference, ours)
    assert [one.ours.id if one.ours else None for one in found] == [3, 2, None]
    assert [one.group for one in found] == [Group.MATCHED, Group.MATCHED, Group.MISSING_HERE]
    twin = replace(REFUND, id=4, reference=FIRST + 3, transaction_id="T4")
    both = match([line(Kind.REFUND, 400), line(Kind.REFUND, 400)], [SALE, REFUND, twin])
    assert [one.ours for one in both] == [REFUND, twin]
    [by_sale_id] = match([line(Kind.REFUND, 100, reference=None, sale_transaction_id="T1")], ours)
    assert by_sale_id.ours == other


def test_the_reference_goes_before_the_id() -> None:
    """B2: our reference is looked at first, then the gateway's id; an id beside a foreign reference differs."""
    assert group(line(reference=None, transaction_id="T1"), SALE) is Group.MATCHED
    assert group(line(reference=FIRST + 9, transaction_id="T1"), SALE) is Group.DIFFERS
    other = replace(SALE, id=9, reference=FIRST + 9, transaction_id="T9")
    [found] = match([line(transaction_id="T9")], [SALE, other])
    assert found.ours == SALE
    assert group(line(reference=None, transaction_id=""), replace(SALE, transaction_id="")) is Group.MISSING_HERE


def test_chargebacks() -> None:
    """R17: a chargeback is suggested until disputes cover it, and never counts as the sale's line."""
    taken = line(Kind.CHARGEBACK, 600)
    assert group(taken, SALE) is Group.CHARGEBACK
    assert group(taken, replace(SALE, disputed_minor=600)) is Group.MATCHED
    assert group(taken, replace(SALE, disputed_minor=599)) is Group.CHARGEBACK
    assert group(taken) is Group.MISSING_HERE
    assert [one.group for one in match([taken, line()], [SALE])] == [Group.CHARGEBACK, Group.MATCHED]


@pytest.mark.parametrize("kind", [Kind.FEE, Kind.OTHER])
def test_what_is_no_charge_is_set_aside(kind: Kind) -> None:
    """B2: fees, payouts and declines of others are no difference."""
    assert group(line(kind), SALE) is Group.ASIDE
    assert group(line(state=State.DECLINED, reference=None)) is Group.ASIDE


transactions = st.lists(
    st.builds(
        lambda number, amount, state, refunds: (number, amount, state, refunds),
        st.integers(0, 8),
        st.integers(1, 500),
        st.sampled_from(["approved", "unknown", "declined", "surplus", "review", "failed"]),
        st.lists(st.integers(1, 500), max_size=2),
    ),
    max_size=6,
    unique_by=lambda one: one[0],
)
report_lines = st.lists(
    st.builds(
        ReportLine,
        number=st.integers(1, 99),
        kind=st.sampled_from(list(Kind)),
        state=st.sampled_from(list(State)),
        amount_minor=st.integers(0, 500),
        currency=st.sampled_from(["USD", "CAD"]),
        at=st.just(AT),
        reference=st.one_of(st.none(), st.integers(FIRST, FIRST + 40)),
        transaction_id=st.sampled_from(["", *(f"T{n}" for n in range(12))]),
        sale_transaction_id=st.sampled_from(["", *(f"T{n}" for n in range(12))]),
    ),
    max_size=25,
)


def books(drawn: list[tuple[int, int, str, list[int]]]) -> list[Ours]:
    """Sales with their refunds."""
    ours: list[Ours] = []
    for number, amount, state, refunds in drawn:
        ours.append(Ours(number, 100 + number, "sale", FIRST + number, f"T{number}", None, amount, "USD", state))
        for place, part in enumerate(refunds):
            own = 10 + 2 * number + place
            refund = Ours(own, 100 + number, "refund", FIRST + own, f"T{own}", number, part, "USD", "approved")
            ours.append(replace(refund, reversal_id=own, reversal_state="refunded"))
    return ours


@given(transactions, report_lines)
def test_every_line_ends_in_one_group(drawn: list[tuple[int, int, str, list[int]]], lines: list[ReportLine]) -> None:
    """B2: every line is found once and in its place, and the sums of the groups are the report's, to the cent."""
    ours = books(drawn)
    findings = match(lines, ours)
    assert [one.line for one in findings] == lines
    sums: Counter[tuple[Group, str]] = Counter()
    for one in findings:
        sums[one.group, one.line.currency] += one.line.amount_minor
    for currency in ("USD", "CAD"):
        whole = sum(each.amount_minor for each in lines if each.currency == currency)
        assert sum(sums[group_, currency] for group_ in Group) == whole


@given(transactions, report_lines)
def test_what_matches_is_equal_and_counted_once(
    drawn: list[tuple[int, int, str, list[int]]], lines: list[ReportLine]
) -> None:
    """B2: matched and proven lines have our very amount; none of ours is taken by two lines that carry money."""
    findings = match(lines, books(drawn))
    carrying = [
        one
        for one in findings
        if one.ours and one.line.kind is not Kind.CHARGEBACK and one.line.state in {"settled", "pending"}
    ]
    assert max(Counter(one.ours.id for one in carrying if one.ours).values(), default=1) == 1
    for one in carrying:
        assert one.ours is not None
        assert one.ours.operation == one.line.kind
        if one.group in {Group.MATCHED, Group.PROVEN}:
            assert (one.line.amount_minor, one.line.currency) == (one.ours.amount_minor, one.ours.currency)


@given(transactions, report_lines, st.integers(0, 25))
def test_a_report_in_two_parts_ends_as_in_one(
    drawn: list[tuple[int, int, str, list[int]]], lines: list[ReportLine], cut: int
) -> None:
    """B2: read part by part, with what earlier parts told of handed on, a report comes to the same."""
    ours = books(drawn)
    first = match(lines[:cut], ours)
    told = {
        one.ours.id
        for one in first
        if one.ours and one.ours.operation == one.line.kind and one.line.state in {State.SETTLED, State.PENDING}
    }
    assert first + match(lines[cut:], ours, told) == match(lines, ours)
