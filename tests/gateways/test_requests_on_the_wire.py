"""What each gateway sends: compared byte for byte with golden files, and taken apart by other code than builds it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateways import payflow, plugnpay
from gateways.catalog import KINDS
from gateways.contract import Gateway, Operation
from rules.cards import Card
from rules.outcomes import Failed, FailureClass
from rules.stored_cards import StoredCredential
from tests.gateways import builders
from tests.gateways.canned import Canned

GOLDEN = Path(__file__).parent / "golden"
LONG_AGO = datetime(2025, 3, 1, 10, 0, tzinfo=UTC)

CALLS: dict[str, Callable[[Gateway], object]] = {
    "sale": lambda gateway: gateway.sale(builders.sale()),
    "sale_recurring_without_code": lambda gateway: gateway.sale(
        builders.sale(credential=builders.FIRST_OF_SERIES, card=replace(builders.CARD, security_code=None))
    ),
    "sale_in_a_series": lambda gateway: gateway.sale(builders.sale(credential=builders.OF_SERIES)),
    "sale_by_a_stored_card_of_a_payer": lambda gateway: gateway.sale(
        builders.sale(credential=builders.AGAIN, keep_card=False)
    ),
    "authorization": lambda gateway: gateway.authorize(builders.sale()),
    "capture": lambda gateway: gateway.capture(builders.capture()),
    "void": lambda gateway: gateway.void(builders.void()),
    "refund_of_a_part": lambda gateway: gateway.refund(builders.refund(amount_minor=5000)),
    "inquiry_about_an_old_sale": lambda gateway: gateway.inquire(builders.inquiry(started_at=LONG_AGO)),
}


def _made_comparable(request: str, path: str) -> str:
    """Line ends as in a text file; a new request id, which an inquiry draws, by its shape."""
    if "inquiry" in path:
        request = re.sub(r"(X-VPS-REQUEST-ID: )[0-9a-f]{32}\r", r"\1(new)\r", request)
    return request.replace("\r\n", "\n") + "\n"


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("name", ["authorizenet", "payflow", "plugnpay", "stripe"])
def test_golden(name: str, call: str) -> None:
    """E4: the same operation makes the same bytes, those of the golden file, every time."""
    file = GOLDEN / f"{name}_{call}.txt"
    with Canned("nothing") as server:
        for _ in range(2):
            CALLS[call](builders.gateway(name, server.url))
            assert _made_comparable(server.sent(), file.name) == file.read_text()


@pytest.mark.parametrize("call", [call for call in CALLS if "inquiry" not in call])
@pytest.mark.parametrize("name", KINDS)
def test_same_bytes(name: str, call: str) -> None:
    """E4: what moves money is byte for byte the same whenever it is sent, and in ASCII."""
    with Canned("nothing") as server:
        for _ in range(2):
            CALLS[call](builders.gateway(name, server.url))
        half = len(server.requests) // 2
    assert server.requests[:half] == server.requests[half:]


def test_golden_payflow_reference_transaction() -> None:
    """C4: the id of an earlier transaction stands in for the card."""
    with Canned("nothing") as server:
        stored = builders.sale(card=None, stored_card=builders.PNREF)
        builders.gateway("payflow", server.url).sale(stored)
        assert _made_comparable(server.sent(), "") == (GOLDEN / "payflow_sale_by_stored_card.txt").read_text()


def test_golden_payflow_inquiry_by_pnref() -> None:
    """E4: an inquiry goes by the gateway's own id where one came back."""
    with Canned("nothing") as server:
        builders.gateway("payflow", server.url).inquire(builders.inquiry(transaction_id=builders.PNREF))
        file = GOLDEN / "payflow_inquiry_by_pnref.txt"
        assert _made_comparable(server.sent(), file.name) == file.read_text()


STRIPE_CALLS: dict[str, Callable[[Gateway], object]] = {
    "stripe_sale_by_stored_card": lambda gateway: gateway.sale(
        builders.sale(card=None, stored_card="cus_3EX/pm_3EX", credential=builders.UNATTENDED)
    ),
    "stripe_sale_unattended": lambda gateway: gateway.sale(builders.sale(credential=builders.UNATTENDED)),
    "stripe_customer_of_a_kept_card": lambda gateway: gateway.sale(builders.sale(keep_card=True)),
    "stripe_inquiry_by_id": lambda gateway: gateway.inquire(builders.inquiry(transaction_id="pi_3EX")),
    "stripe_inquiry_about_a_refund": lambda gateway: gateway.inquire(
        builders.inquiry(Operation.REFUND, sale_transaction_id="pi_3EX")
    ),
    "stripe_health": lambda gateway: gateway.health(builders.soon()),
}


@pytest.mark.parametrize("file", STRIPE_CALLS)
def test_golden_stripe(file: str) -> None:
    """E4, C4: what only Stripe has: a customer for a kept card, stored cards, look-ups by its own id."""
    with Canned("nothing") as server:
        STRIPE_CALLS[file](builders.gateway("stripe", server.url))
        assert _made_comparable(server.sent(), "") == (GOLDEN / f"{file}.txt").read_text()


def test_golden_stripe_sale_of_a_kept_card() -> None:
    """C4: the sale follows its customer; it never says at once that the card is to be kept and that nobody is there."""
    with Canned('{"id": "cus_3EX"}', "nothing") as server:
        sale = builders.sale(keep_card=True, credential=builders.UNKNOWN_TO_NETWORK)
        builders.gateway("stripe", server.url).sale(sale)
        assert len(server.requests) == 2
        assert _made_comparable(server.sent(), "") == (GOLDEN / "stripe_sale_of_a_kept_card.txt").read_text()


def test_request_ids() -> None:
    """B09, B78: one id for every send of an operation, another for each operation, a new one for each inquiry."""
    with Canned("nothing") as server:
        gateway = builders.gateway("payflow", server.url)
        for call in (
            lambda: gateway.sale(builders.sale()),
            lambda: gateway.refund(builders.refund(reference=builders.REFERENCE)),
            lambda: gateway.void(builders.void(reference=builders.REFERENCE)),
            lambda: gateway.sale(builders.sale()),
            lambda: gateway.inquire(builders.inquiry()),
            lambda: gateway.inquire(builders.inquiry()),
        ):
            call()
        ids = [re.search(rb"X-VPS-REQUEST-ID: ([0-9a-f]{32})\r", request)[1] for request in server.requests]  # type: ignore[index]
    assert ids[0] == ids[3]
    assert len(set(ids)) == 5


# ---- taking the requests apart again, by the sheets


def payflow_fields(body: str) -> dict[str, str]:
    """The fields of a Payflow body, by their length tags alone; a field given twice is an error."""
    fields: dict[str, str] = {}
    while body:
        name, length = re.match(r"([A-Z0-9]+)\[(\d+)\]=", body).groups()  # type: ignore[union-attr]
        start = len(name) + len(length) + 3
        value, rest = body[start : start + int(length)], body[start + int(length) :]
        assert name not in fields
        assert rest[:1] in ("", "&")
        fields[name], body = value, rest[1:]
    return fields


def plugnpay_fields(body: str) -> dict[str, str]:
    """The fields of a Plug'n Pay body; a field given twice is an error."""
    pairs = parse_qsl(body, keep_blank_values=True, strict_parsing=True)
    assert len(dict(pairs)) == len(pairs)
    return dict(pairs)


def _payflow(sale: object) -> dict[str, str]:
    body = payflow._build("S", [("PWD", "s3&cr=t")], payflow._sale_fields(sale))  # type: ignore[arg-type]
    return payflow_fields(body.decode("ascii"))


def _plugnpay(sale: object) -> dict[str, str]:
    body = plugnpay._build("auth", [("publisher-password", "s3&cr=t")], plugnpay._sale_fields(sale))  # type: ignore[arg-type]
    return plugnpay_fields(body.decode("ascii"))


def _minor(text: str) -> int:
    assert re.fullmatch(r"\d{1,7}\.\d\d", text)
    return int(text.replace(".", ""))


def test_every_small_amount() -> None:
    """B26: every amount from 1 to 10000 minor units arrives as it was asked."""
    for amount_minor in range(1, 10_001):
        sale = builders.sale(amount_minor=amount_minor)
        assert _minor(_payflow(sale)["AMT"]) == amount_minor
        assert _minor(_plugnpay(sale)["card-amount"]) == amount_minor


@given(amount_minor=st.integers(1, 999_999_999), currency=st.sampled_from(sorted(payflow.TRAITS.currencies)))
def test_any_amount(amount_minor: int, currency: str) -> None:
    """B26: any amount that the gateways take arrives as it was asked, in its currency."""
    sale = builders.sale(amount_minor=amount_minor, currency=currency)
    assert (_minor(_payflow(sale)["AMT"]), _payflow(sale)["CURRENCY"]) == (amount_minor, currency)
    assert (_minor(_plugnpay(sale)["card-amount"]), _plugnpay(sale)["currency"]) == (amount_minor, currency.lower())


@pytest.mark.parametrize("name", KINDS)
def test_refused_unsent(name: str) -> None:
    """B27, B28, B30: what the gateway's documents do not show how to write is refused, and nothing is sent."""
    with Canned("nothing") as server:
        gateway = builders.gateway(name, server.url)
        asked: list[tuple[dict[str, Any], str]] = [({"currency": "XXX"}, "currency")]
        asked += [({"card": None, "stored_card": "x"}, "stored_card")]
        asked += [({"amount_minor": amount}, "amount") for amount in (0, -1, gateway.traits.amount_minor_max + 1)]
        for change, code in asked:
            if code == "stored_card" and gateway.traits.keeps_cards:
                continue
            outcome = gateway.sale(builders.sale(**change)).result
            assert isinstance(outcome, Failed)
            assert (outcome.failure, outcome.code) == (FailureClass.REFUSED, code)
        assert server.requests == []


@pytest.mark.parametrize("name", ["payflow", "plugnpay"])
@pytest.mark.parametrize("currency", ["JPY", "KWD"])
def test_two_decimals_only(name: str, currency: str) -> None:
    """B27, B28: where only two decimals are documented, a currency without them is refused."""
    assert currency not in builders.gateway(name, "https://gateway.invalid/").traits.currencies


def test_hostile_memo() -> None:
    """B16: an ampersand and an equals sign in a name or an invoice number change no other field."""
    card = replace(builders.CARD, name="R & D = Sons")
    sale = builders.sale(amount_minor=7527, invoice_number="x&AMT=1.00", card=card)
    sent = _payflow(sale)
    assert (sent["AMT"], sent["INVNUM"]) == ("75.27", "x&AMT=1.00")
    assert f"{sent['BILLTOFIRSTNAME']} {sent['BILLTOLASTNAME']}" == "R & D = Sons"
    sent = _plugnpay(builders.sale(amount_minor=7527, invoice_number="x&card-amount=1.00", card=card))
    assert (sent["card-amount"], sent["order-id"], sent["card-name"]) == ("75.27", "x&card-amount=1.00", "R & D = Sons")


hostile = st.text(max_size=300) | st.text(alphabet='&=[]%+"\r\n\t\0ÄßЖ漢€ abc1', max_size=300)


@settings(max_examples=200)
@given(name=hostile, street=hostile, city=hostile, state=hostile, postal_code=hostile, invoice_number=hostile)
def test_hostile_texts(name: str, street: str, city: str, state: str, postal_code: str, invoice_number: str) -> None:
    """B16: whatever is in the texts, the deciding fields arrive whole, in printable ASCII and once."""
    card = Card("4111111111111111", 12, 2030, "123", name, street, city, state, postal_code, "DE")
    sale = builders.sale(card=card, invoice_number=invoice_number)
    sent = _payflow(sale)
    assert {sent["ACCT"], sent["EXPDATE"], sent["AMT"], sent["CVV2"]} == {"4111111111111111", "1230", "118.50", "123"}
    assert all(" " <= c <= "~" and c != '"' for value in sent.values() for c in value)
    sent = _plugnpay(sale)
    assert {sent["card-number"], sent["card-exp"], sent["card-amount"]} == {"4111111111111111", "12/30", "118.50"}
    assert sent["card-name"]
    assert all(" " <= c <= "~" for value in sent.values() for c in value)


def test_accents_become_letters() -> None:
    """B16: a name with accents is sent in letters that every gateway takes."""
    card = replace(builders.CARD, name='Zoë "Zo" Ångström')
    sale = builders.sale(card=card)
    assert (_payflow(sale)["BILLTOFIRSTNAME"], _payflow(sale)["BILLTOLASTNAME"]) == ("Zoe Zo", "Angstrom")
    assert _plugnpay(sale)["card-name"] == "Zoe Zo Angstrom"


@given(reference=st.integers(10**18, 36**12 - 1))
def test_references(reference: int) -> None:
    """E2, B76: a reference travels whole: 12 characters in base 36, 19 digits."""
    travelling = payflow.custref(reference)
    assert re.fullmatch("[0-9A-Z]{12}", travelling)
    assert int(travelling, 36) == reference
    assert _plugnpay(builders.sale(reference=reference))["orderID"] == str(reference)
    assert len(str(reference)) == 19


def test_inquiry_of_a_void_is_by_its_own_reference() -> None:
    """B13: Payflow is asked by the void's own reference, Plug'n Pay by the sale's, which is all that it knows."""
    with Canned("nothing") as server:
        builders.gateway("payflow", server.url).inquire(builders.inquiry(Operation.VOID))
        assert payflow_fields(server.body())["CUSTREF"] == payflow.custref(builders.ANOTHER)
        builders.gateway("plugnpay", server.url).inquire(builders.inquiry(Operation.VOID))
        assert plugnpay_fields(server.body())["orderID"] == builders.ORDER


@pytest.mark.parametrize(
    ("told", "indicator", "reference"),
    [
        (None, None, None),
        (builders.FIRST, "CITI", None),
        (builders.FIRST_OF_SERIES, "CITR", None),
        (builders.AGAIN, "CITU", None),
        (builders.AGAIN_FOR_SERIES, "CITR", None),
        (builders.OF_SERIES, "MITR", builders.NETWORK_REFERENCE),
        (builders.UNATTENDED, "MITU", builders.NETWORK_REFERENCE),
        (builders.UNKNOWN_TO_NETWORK, "MITU", None),
    ],
)
def test_kept_card(told: StoredCredential | None, indicator: str | None, reference: str | None) -> None:
    """C4: what the networks want to know of a kept card is told; with nobody there, no code is sent."""
    sale = builders.sale(credential=told)
    sent = _payflow(sale)
    assert (sent.get("CARDONFILE"), sent.get("TXID")) == (indicator, reference)
    assert ("CVV2" in sent) is not sale.unattended
    form = _plugnpay(sale)
    assert form.get("transflags") == ("recurring" if sale.recurring else None)
    assert ("card-cvv" in form) is not sale.unattended
    assert "CARDONFILE" not in _payflow(replace(sale, card=None, stored_card=builders.PNREF))
