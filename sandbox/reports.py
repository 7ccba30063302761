"""What the gateways report of a span of time, each in its own documented form, from the sandbox's books.

Pure text from transactions: nothing here needs a running server.
"""

import csv
import io
from collections.abc import Callable, Iterable, Iterator
from typing import Final
from urllib.parse import quote, urlencode
from zoneinfo import ZoneInfo

from sandbox.books import Books, State, Transaction
from sandbox.clock import moment
from sandbox.contract import Page

_NO_DECIMALS: Final = frozenset("BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF".split())
_THREE_DECIMALS: Final = frozenset("BHD IQD JOD KWD LYD OMR TND".split())

_DONE: Final = (State.APPROVED, State.SETTLING, State.SETTLED)
_MONEY: Final = ("sale", "capture", "refund")


class NoReport(LookupError):
    """The sandbox writes no report of that gateway."""


def report(books: Books, gateway: str, since: float, until: float) -> Page:
    """The report of what was booked from `since` until before `until`, seconds since the epoch. Raises NoReport."""
    if gateway not in WRITERS:
        raise NoReport(f"no report of {gateway!r}; there are {', '.join(WRITERS)}")
    content_type, write = WRITERS[gateway]
    booked = [one for one in books.search(gateway=gateway) if since <= one.booked_at < until]
    return Page(200, content_type, write(booked, since, until).encode())


def _decimal(amount: int, currency: str) -> str:
    places = 0 if currency in _NO_DECIMALS else 3 if currency in _THREE_DECIMALS else 2
    sign, digits = "-" if amount < 0 else "", str(abs(amount)).rjust(places + 1, "0")
    return f"{sign}{digits[:-places]}.{digits[-places:]}" if places else sign + digits


def _table(rows: Iterable[Iterable[object]], quoting: int = csv.QUOTE_MINIMAL) -> str:
    text = io.StringIO()
    csv.writer(text, quoting=quoting, lineterminator="\r\n").writerows(rows)  # type: ignore[arg-type]
    return text.getvalue()


def _settled(booked: Iterable[Transaction]) -> Iterator[Transaction]:
    return (one for one in booked if one.operation in _MONEY and one.state == State.SETTLED)


# -- Payflow: a Custom Report, as PayPal Manager exports it; times are Pacific

_PACIFIC: Final = ZoneInfo("America/Los_Angeles")
_TYPES: Final = {
    "sale": "Sale",
    "authorization": "Authorization",
    "capture": "Delayed Capture",
    "void": "Void",
    "refund": "Credit",
}
_TRANSSTATE: Final = {State.APPROVED: "6", State.SETTLING: "7", State.SETTLED: "8", State.VOIDED: "1006"}


def _payflow(booked: list[Transaction], since: float, until: float) -> str:
    del since, until
    head = (
        "Transaction ID", "Time", "Type", "Tender Type", "Account Number", "Amount", "Currency", "Result Code",
        "Response Msg", "Transaction State", "Batch ID", "Original Transaction ID", "Cust Ref",
    )  # fmt: skip
    rows = [
        (
            one.id,
            f"{moment(one.booked_at).astimezone(_PACIFIC):%Y-%m-%d %H:%M:%S}",
            _TYPES[one.operation],
            "Credit Card",
            f"XXXXXXXXXXXX{one.last4}",
            f"{one.amount // 100:,}.{one.amount % 100:02d}",
            one.currency,
            one.code,
            one.message or ("Approved" if one.code == "0" else "Declined"),
            _TRANSSTATE.get(State(one.state), "1"),
            one.batch or "",
            one.original,
            one.reference,
        )
        for one in booked
        if one.operation in _TYPES
    ]
    return _table([head, *rows])


# -- Plug'n Pay: the answer of query_trans over a span of days


def _plugnpay(booked: list[Transaction], since: float, until: float) -> str:
    del since, until
    fields = [record for one in booked if one.operation in ("sale", "refund", "void") for record in _records(one)]
    packed = "".join(f"&a{number:05d}={quote(urlencode(record))}" for number, record in enumerate(fields))
    return f"FinalStatus=success&success=yes&num-txns={len(fields)}{packed}"


def _records(one: Transaction) -> Iterator[dict[str, str]]:
    status = one.code.partition("/")[0]
    record = {
        "trans_date": f"{moment(one.booked_at):%Y%m%d}",
        "operation": {"sale": "auth", "refund": "return"}.get(one.operation, one.operation),
        "FinalStatus": status,
        "card-amount": _decimal(one.amount, one.currency),
        "currency": one.currency.lower(),
        "orderID": one.reference,
        "card-number": f"XXXXXXXXXXXX{one.last4}" if one.last4 else "",
        "MErrMsg": "" if status == "success" else one.message,
        "auth-code": one.auth_code,
    }
    if one.operation == "refund" and one.state in _DONE:
        record["FinalStatus"] = "success" if one.state == State.SETTLED else "pending"
    yield record
    if one.operation == "sale" and one.state in _DONE:
        yield record | {
            "operation": "postauth",
            "FinalStatus": "success" if one.state == State.SETTLED else "pending",
        }


# -- PayPal: the Settlement Report, amounts in minor units without a sign

_SETTLEMENT_COLUMNS: Final = (
    "CH", "Transaction ID", "Invoice ID", "PayPal Reference ID", "PayPal Reference ID Type", "Transaction Event Code",
    "Transaction Initiation Date", "Transaction Completion Date", "Transaction Debit or Credit",
    "Gross Transaction Amount", "Gross Transaction Currency", "Fee Debit or Credit", "Fee Amount", "Fee Currency",
    "Custom Field", "Consumer ID", "Payment Tracking ID", "Store ID", "Bank Reference ID", "Credit Transactional Fee",
    "Credit Promotional Fee", "Credit Term",
)  # fmt: skip
_SETTLEMENT_TIME: Final = "%Y/%m/%d %H:%M:%S +0000"


def _paypal(booked: list[Transaction], since: float, until: float) -> str:
    begin, end = f"{moment(since):{_SETTLEMENT_TIME}}", f"{moment(until - 1):{_SETTLEMENT_TIME}}"
    rows = [_settlement_row(one) for one in _settled(booked)]
    return _table(
        [
            ("RH", end, "A", "SANDBOXMERCHANT", "9"),
            ("FH", 1),
            ("SH", begin, end, "SANDBOXMERCHANT", ""),
            _SETTLEMENT_COLUMNS,
            *rows,
            ("SF", *_totals(booked)),
            ("SC", len(rows)),
            ("RF", *_totals(booked)),
            ("RC", len(rows)),
            ("FF", len(rows)),
        ],
        csv.QUOTE_ALL,
    )


def _settlement_row(one: Transaction) -> tuple[object, ...]:
    back = one.operation == "refund"
    at = f"{moment(one.booked_at):{_SETTLEMENT_TIME}}"
    fee = 0 if back else one.amount * 29 // 1000 + 30
    return (
        "SB", one.id, one.reference, one.original if back else "", "TXN" if back else "", "T1107" if back else "T0006",
        at, at, "DR" if back else "CR", one.amount, one.currency, "" if back else "DR", fee or "", one.currency,
        one.reference, "", "", "", "", "", "", "",
    )  # fmt: skip


def _totals(booked: list[Transaction]) -> tuple[str, int, int]:
    lines = list(_settled(booked))
    credits_ = sum(one.amount for one in lines if one.operation != "refund")
    return (lines[0].currency if lines else "USD"), credits_, sum(one.amount for one in lines) - credits_


# -- Stripe: payout reconciliation, itemized

_BALANCE_COLUMNS: Final = (
    "automatic_payout_id", "automatic_payout_effective_at_utc", "balance_transaction_id", "created_utc",
    "available_on_utc", "currency", "gross", "fee", "net", "reporting_category", "source_id", "description",
    "customer_facing_amount", "customer_facing_currency", "charge_id", "payment_intent_id", "card_brand",
    "payment_metadata[merchant_reference]", "refund_metadata[merchant_reference]",
)  # fmt: skip
_UTC_TIME: Final = "%Y-%m-%d %H:%M:%S"


def _stripe(booked: list[Transaction], since: float, until: float) -> str:
    del since
    rows = [row for one in _settled(booked) for row in _balance_rows(one)]
    at = f"{moment(until - 1):{_UTC_TIME}}"
    fee = ("po_1SANDBOX", at, "txn_fee", at, at, "usd", "-2.00", "0.00", "-2.00", "fee", "", "Card account updater")
    return _table([_BALANCE_COLUMNS, *rows, (*fee, *[""] * (len(_BALANCE_COLUMNS) - len(fee)))])


def _balance_rows(one: Transaction) -> Iterator[tuple[object, ...]]:
    back = one.operation == "refund"
    at = f"{moment(one.booked_at):{_UTC_TIME}}"
    intent = one.original if one.operation != "sale" else one.id
    fee = 0 if back else one.amount * 29 // 1000 + 30
    gross = -one.amount if back else one.amount
    category = "refund" if back else "charge"

    def row(number: str, sign: int, named: str, cost: int) -> tuple[object, ...]:
        amount = _decimal(sign * gross, one.currency)
        return (
            "po_1SANDBOX", at, f"txn_{number}{one.id[3:]}", at, at, one.currency.lower(), amount,
            _decimal(cost, one.currency), _decimal(sign * gross - cost, one.currency), named,
            one.id if back else f"ch_{one.id[3:]}", "Sandbox, Inc.", amount, one.currency.lower(), f"ch_{intent[3:]}",
            intent, "Visa", "" if back else one.reference, one.reference if back else "",
        )  # fmt: skip

    yield row("1", 1, category, fee)
    if back and one.code == "failed":
        yield row("2", -1, "refund_failure", 0)


# -- Authorize.Net: a download of transactions, expanded fields

_DOWNLOAD_COLUMNS: Final = (
    "Transaction ID", "Transaction Status", "Settlement Amount", "Settlement Currency", "Settlement Date/Time",
    "Authorization Amount", "Authorization Currency", "Submit Date/Time", "Authorization Code",
    "Reference Transaction ID", "Transaction Type", "Card Number", "Invoice Number", "Invoice Description",
    "Total Amount", "Currency", "Customer First Name", "Customer Last Name",
)  # fmt: skip
_MOUNTAIN: Final = ZoneInfo("America/Denver")
_TRANSACTION_TYPES: Final = {
    "sale": "Authorization w/ Auto Capture",
    "authorization": "Authorization Only",
    "capture": "Prior Authorization Capture",
    "refund": "Credit",
    "void": "Void",
}
_STATUSES: Final = {
    State.DECLINED: "Declined",
    State.REFUSED: "General Error",
    State.REVIEW: "Under Review",
    State.AUTHORIZED: "Authorized/Pending Capture",
    State.CAPTURED: "Captured/Pending Settlement",
    State.APPROVED: "Captured/Pending Settlement",
    State.SETTLING: "Pending Settlement",
    State.SETTLED: "Settled Successfully",
    State.VOIDED: "Voided",
}


def _authorizenet(booked: list[Transaction], since: float, until: float) -> str:
    del since, until
    rows = [_download_row(one) for one in booked if one.operation in _TRANSACTION_TYPES and one.state in _STATUSES]
    return _table([_DOWNLOAD_COLUMNS, *rows])


def _download_row(one: Transaction) -> tuple[object, ...]:
    local = moment(one.booked_at).astimezone(_MOUNTAIN)
    at, amount = f"{local:%d-%b-%Y %I:%M:%S %p} {local.tzname()}", _decimal(one.amount, one.currency)
    back, settled = one.operation == "refund", one.state == State.SETTLED
    status = "Refund Settled Successfully" if back and settled else _STATUSES[State(one.state)]
    return (
        one.id, status, amount if settled else "0.00", one.currency, at if settled else "", amount, one.currency, at,
        one.auth_code, one.original if back else "Not Applicable", _TRANSACTION_TYPES[one.operation],
        f"XXXX{one.last4}", one.reference, "", amount, one.currency, "Ann", "Example",
    )  # fmt: skip


WRITERS: Final[dict[str, tuple[str, Callable[[list[Transaction], float, float], str]]]] = {
    "payflow": ("text/csv", _payflow),
    "plugnpay": ("text/plain", _plugnpay),
    "paypal": ("text/csv", _paypal),
    "stripe": ("text/csv", _stripe),
    "authorizenet": ("text/csv", _authorizenet),
}
"""How each gateway's report is written, and its content type."""
