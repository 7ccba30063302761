"""Plug'n Pay: the records of `query_trans` over a span of days, as the gateway answers it or as a table.

A record has no reference of its own but the orderID of its sale, so a return is found through its sale.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta, tzinfo
from typing import Final
from urllib.parse import parse_qsl, unquote_plus

from reports.form import Form, Packed, Row, merchant_reference
from rules.errors import Fault, RequestRefused
from rules.reconciling import Kind, ReportLine, State

_KINDS: Final = {"postauth": Kind.SALE, "return": Kind.REFUND}
_STATES: Final = {
    "success": State.SETTLED,
    "pending": State.PENDING,
    "badcard": State.DECLINED,
    "problem": State.DECLINED,
}


def _read(row: Row, zone: tzinfo) -> ReportLine | None:
    order_id = row.get("orderID")
    if not order_id:
        return None
    operation, status = row.get("operation").lower(), row.get("FinalStatus", "result").lower()
    currency = row.currency("currency") if row.get("currency") else "USD"
    state = _STATES.get(status)
    if state is None:
        raise row.refuse("FinalStatus", "not a status that is known", "Expected success, pending, badcard or problem")
    kind = _KINDS.get(operation, Kind.OTHER)
    if operation in ("auth", "forceauth") and state is State.DECLINED:
        kind = Kind.SALE  # one that was approved is told by its postauth
    return ReportLine(
        number=row.number,
        kind=kind,
        state=state,
        amount_minor=abs(row.amount("card-amount", currency)),
        currency=currency,
        at=row.moment("trans_date", zone, "%m/%d/%Y"),
        reference=merchant_reference(order_id),
        transaction_id=order_id,
        sale_transaction_id=order_id,
        said=f"{operation} {status}",
    )


def _records(blocks: Iterator[str]) -> Iterator[Mapping[str, str]]:
    """The records of an answer, each in a field of its own (`a00001=trans_date%3d...`).

    Raises RequestRefused where the answer is none, or holds another number of records than it promised: it was cut.
    """
    promised: dict[str, str] = {}
    count = 0
    for name, value in _pairs(blocks):
        if len(name) > 1 and name[0] == "a" and name[1:].isdecimal():
            count += 1
            yield dict(parse_qsl(unquote_plus(value), keep_blank_values=True))
        elif name in ("FinalStatus", "num-txns"):
            promised[name] = value
    if promised.get("FinalStatus") != "success":
        problem = "not the answer of a query that worked: it has no FinalStatus=success"
        raise RequestRefused([Fault("answer", "", problem, "Ask the gateway again")])
    if promised.get("num-txns", str(count)) != str(count):
        problem = f"cut short: of {promised['num-txns'][:20]} records it has {count:,}"
        raise RequestRefused([Fault("answer", "", problem, "Ask the gateway again")])


def _pairs(blocks: Iterator[str]) -> Iterator[tuple[str, str]]:
    rest = ""
    for block in blocks:
        *whole, rest = (rest + block).split("&")
        for pair in whole:
            name, _, value = pair.strip().partition("=")
            yield name, value
    name, _, value = rest.strip().partition("=")
    yield name, value


FORM: Final = Form(
    gateway="plugnpay",
    title="Plug'n Pay's query of transactions",
    needed=(("orderID",), ("trans_date",), ("operation",), ("FinalStatus", "result"), ("card-amount",)),
    read=_read,
    grain=timedelta(days=1),
    unpack=Packed("FinalStatus=", _records),
)
