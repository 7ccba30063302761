"""The sandbox's reports: each gateway's own form, by a span, and what cannot be asked for."""

from datetime import timedelta

import pytest
import requests

from sandbox.books import Books, State, Transaction
from sandbox.client import SandboxClient, SandboxError
from sandbox.clock import Clock
from sandbox.reports import WRITERS, report

BOOKED = 1_772_445_600.0
"""2026-03-02 10:00 UTC."""

BEGINS = {
    "payflow": "Transaction ID,Time,Type,",
    "plugnpay": "FinalStatus=success&",
    "paypal": '"RH","2026/03/02 10:00:09 +0000","A",',
    "stripe": "automatic_payout_id,",
    "authorizenet": "Transaction ID,Transaction Status,",
}


def books() -> Books:
    """A settled sale of each gateway and its refund of a part, an hour apart."""
    kept = Books(Clock())
    for gateway in WRITERS:
        sale = Transaction(gateway, "xx_1", "sale", "1234567890123456789", amount=123456, currency="USD")
        back = Transaction(
            gateway, "xx_2", "refund", "1234567890123456790", amount=700, currency="USD", original="xx_1"
        )
        for one, at in ((sale, BOOKED), (back, BOOKED + 3600)):
            one.state, one.booked_at, one.code = State.SETTLED, at, "success" if gateway == "plugnpay" else "0"
            kept.book(one)
    return kept


@pytest.mark.parametrize("gateway", WRITERS)
def test_each_in_its_own_form(gateway: str) -> None:
    """B2: the report of a span holds what was booked in it, and nothing of later."""
    first = report(books(), gateway, BOOKED, BOOKED + 10).body.decode()
    whole = report(books(), gateway, BOOKED, BOOKED + 7200).body.decode()
    assert first.startswith(BEGINS[gateway])
    assert ("1234567890123456789" in first, "1234567890123456790" in first) == (True, False)
    assert len(whole) > len(first)
    assert gateway == "plugnpay" or "1234567890123456790" in whole


def test_amounts_as_each_writes_them() -> None:
    """B2: thousands set off at Payflow, minor units at PayPal, a minus sign at Stripe."""
    text = {gateway: report(books(), gateway, BOOKED, BOOKED + 7200).body.decode() for gateway in WRITERS}
    assert '"1,234.56"' in text["payflow"]
    assert '"123456","USD"' in text["paypal"]
    assert ",usd,-7.00," in text["stripe"]


def test_over_the_control_api(control: SandboxClient) -> None:
    """B2: a report is asked for by the control API; what cannot be asked for is said."""
    now = control.now()
    assert control.report("payflow", now - timedelta(days=1), now).startswith(b"Transaction ID,")
    with pytest.raises(SandboxError, match="no report of 'cash'; there are payflow, plugnpay"):
        control.report("cash")
    answered = requests.get(f"{control.base_url}/sandbox/reports/stripe?from=monday", timeout=10)
    assert (answered.status_code, "from must be a time such as" in answered.text) == (400, True)
