"""What a decline means and what to say of it: by code, as the gateways and the networks document them."""

from __future__ import annotations

from importlib import import_module

import pytest

from gateways.catalog import KINDS
from gateways.issuer_codes import ISSUER_CODES
from rules.declines import BY_CLASS, BY_CODE, told
from rules.outcomes import DeclineClass

TABLES = {
    "payflow": ("_DECLINES",),
    "plugnpay": ("_CODES",),
    "stripe": ("_DECLINES",),
    "paypal": ("_PROCESSOR", "_CHARGE_ISSUES"),
    "authorizenet": ("_DECLINES",),
}
HANDS_ON = {"payflow", "plugnpay", "stripe"}
"""The gateways that hand the issuer's own code on."""


def classes(gateway: str) -> dict[str, DeclineClass]:
    """Every code with which a decline of that gateway may be recorded."""
    module = import_module(f"gateways.{gateway}")
    tables = [ISSUER_CODES] if gateway in HANDS_ON else []
    tables += [getattr(module, name) for name in TABLES[gateway]]
    return {code: said for table in tables for code, said in table.items() if isinstance(said, DeclineClass)}


@pytest.mark.parametrize("gateway", KINDS)
def test_every_code_has_words(gateway: str) -> None:
    """R16: of each code that a gateway's table knows there is a meaning, an advice for the clerk, one for the payer."""
    assert classes(gateway).keys() - BY_CODE[gateway].keys() == set()


@pytest.mark.parametrize("gateway", KINDS)
def test_the_advice_does_for_the_class(gateway: str) -> None:
    """R16: no advice of a code is milder than its class: what may not be tried again is not told to wait."""
    milder = [
        code
        for code, decline in classes(gateway).items()
        if told(gateway, code, decline)[1:3] == BY_CLASS[decline][1:3] != BY_CODE[gateway][code][1:3]
        and code not in {"N3"}  # a limit, which its class makes one for good
    ]
    assert milder == []


@pytest.mark.parametrize("gateway", [*KINDS, ""])
def test_no_payer_is_accused(gateway: str) -> None:
    """R16: a payer is never told of loss, theft, fraud or suspicion, nor what our filters found."""
    texts = [*BY_CODE.get(gateway, {}).values(), *BY_CLASS.values()]
    words = ("lost", "stolen", "fraud", "suspect", "pick", "filter", "risk", "security violation", "block list")
    assert [said.customer for said in texts if any(word in said.customer.lower() for word in words)] == []


@pytest.mark.parametrize(
    ("gateway", "code", "decline", "meaning", "clerk", "customer"),
    [
        ("plugnpay", "51", DeclineClass.SOFT_DATED, "insufficient funds", "No need to call", "not enough funds"),
        ("stripe", "expired_card", DeclineClass.NEW_DATA, "has expired", "new date or card", "Please update it"),
        ("stripe", "stolen_card", DeclineClass.HARD, "stolen", "say no reason", "declined this card"),
        ("paypal", "9520", DeclineClass.HARD, "lost or stolen", "say no reason", "declined this card"),
        ("authorizenet", "3", DeclineClass.OTHER_WAY, "to be called", "calls the bank", "call your bank"),
        ("payflow", "12", DeclineClass.SOFT_GENERIC, "no reason", "call the bank", "without giving a reason"),
        # as HOSTCODE 12 is another code than as RESULT
        ("payflow", "12", DeclineClass.HARD, "invalid transaction", "kind and currency", "can't be used"),
        # the network said never again: no advice to wait
        ("plugnpay", "51", DeclineClass.HARD, "insufficient funds", "do not try this one again", "declined this card"),
        # neither the code nor the gateway is known
        ("stripe", "a_code_of_next_year", DeclineClass.SOFT_UNLISTED, "not in our tables", "Look the code up", "call"),
        ("made_up", "51", DeclineClass.SOFT_DATED, "not enough funds", "another card", "another card"),
    ],
)
def test_told(gateway: str, code: str, decline: DeclineClass, meaning: str, clerk: str, customer: str) -> None:
    """R16: by the gateway's own code, else the issuer's, else the class; a harder class has its own advice."""
    said = told(gateway, code, decline)
    assert meaning in said.meaning
    assert clerk in said.clerk
    assert customer in said.customer
