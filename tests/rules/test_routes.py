"""Which gateways a card goes to: the grammar of the routes, the draw by weight, the order of fall-backs (R7, E6)."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.cards import Brand
from rules.errors import Fault
from rules.money import EXPONENTS, to_decimal
from rules.routes import WEIGHT_MAX, Asked, Route, Share, gateway_for, may_charge, only, parse, way

GATEWAYS = ("payflow", "plugnpay", "stripe")


def routes(text: str) -> tuple[Route, ...]:
    """The routes of a text that is well written."""
    parsed = parse(text, GATEWAYS)
    assert not isinstance(parsed, Fault), parsed
    return parsed


def asked(
    brand: Brand = Brand.VISA, currency: str = "USD", minor: int = 1000, customer: str = "C-1", key: str = "k"
) -> Asked:
    """A payment by card."""
    return Asked(brand, currency, minor, customer, key)


@pytest.mark.parametrize(
    ("text", "what", "expected"),
    [
        ("amex=plugnpay,*=payflow", asked(Brand.AMEX), ("plugnpay",)),
        ("amex=plugnpay,*=payflow", asked(), ("payflow",)),
        ("visa/EUR=plugnpay", asked(), ()),
        ("EUR&visa=plugnpay", asked(currency="EUR"), ("plugnpay",)),
        ("USD/>=10.00=plugnpay", asked(minor=1000), ("plugnpay",)),
        ("USD/>=10.00=plugnpay", asked(minor=999), ()),
        ("USD/>10.00=plugnpay", asked(minor=1000), ()),
        ("USD / amount <= 10 = plugnpay", asked(minor=1000), ("plugnpay",)),
        ("USD&<10.00=plugnpay", asked(minor=1000), ()),
        ("JPY/>=5000/<9000=plugnpay", asked(currency="JPY", minor=8999), ("plugnpay",)),
        ("JPY/>=5000/<9000=plugnpay", asked(currency="JPY", minor=9000), ()),
        ("customer:EU-*=plugnpay,*=payflow", asked(customer="EU-77"), ("plugnpay",)),
        ("customer:EU-*=plugnpay,*=payflow", asked(customer="eu-77"), ("payflow",)),
        ("customer:?=plugnpay", asked(customer="12"), ()),
        ("*=payflow>plugnpay>stripe", asked(), ("payflow", "plugnpay", "stripe")),
        ("*=payflow:0+plugnpay>payflow", asked(), ("plugnpay", "payflow")),
        ("*=payflow>payflow", asked(), ("payflow",)),
        ("USD/>=1.00=payflow>plugnpay", asked(), ("payflow", "plugnpay")),
    ],
)
def test_the_first_route_that_fits(text: str, what: Asked, expected: tuple[str, ...]) -> None:
    """R7: brand, currency, amount and customer choose; what no route fits is not charged."""
    assert way(routes(text), what) == expected
    assert gateway_for(routes(text), what) == (expected[0] if expected else None)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("amex", "names no gateway"),
        ("amex=", "names no gateway"),
        ("USD/>=1000.00", "names no gateway"),
        ("*=paypall", "no such gateway is configured: paypall (there is: payflow, plugnpay, stripe)"),
        ("*=payflow>", "no such gateway is configured"),
        ("*=payflow+payflow", "stands twice in one group"),
        ("*=payflow:", "a weight is a whole number"),
        ("*=payflow:-1", "a weight is a whole number"),
        ("*=payflow:1.5", "a weight is a whole number"),
        (f"*=payflow:{WEIGHT_MAX + 1}", "a weight is a whole number"),
        ("*=payflow:0", "no gateway of this group has a weight above 0"),
        (">=10.00=payflow", "an amount needs its currency beside it"),
        ("visa/>=10.00=payflow", "an amount needs its currency beside it"),
        ("USD/>=10.001=payflow", "more decimal places than the currency has"),
        ("USD/>=ten=payflow", "not an amount"),
        ("USD/>=10/>20=payflow", "the same bound twice"),
        ("USD/>=20/<20=payflow", "no amount is within these bounds"),
        ("customer:=payflow", "neither"),
        ("customer:A/customer:B=payflow", "is there twice"),
        ("visa/mastercard=payflow", "is there twice"),
        ("XXX=payflow", "not a currency in use"),
        ("=payflow", "neither"),
    ],
)
def test_a_route_that_cannot_be_meant(text: str, problem: str) -> None:
    """R7: it is told what is wrong, and how routes are written."""
    told = parse(text, GATEWAYS)
    assert isinstance(told, Fault), told
    assert problem in told.problem
    assert told.remedy


shares = st.lists(
    st.tuples(st.sampled_from(GATEWAYS), st.integers(1, WEIGHT_MAX)),
    min_size=1,
    max_size=3,
    unique_by=lambda one: one[0],
)


@st.composite
def written(draw: st.DrawFn) -> tuple[str, Route]:
    """A route as it may be written, and what it means."""
    brand = draw(st.none() | st.sampled_from(Brand))
    currency = draw(st.none() | st.sampled_from(sorted(EXPONENTS)))
    least = draw(st.none() | st.integers(1, 10**6)) if currency else None
    most = draw(st.none() | st.integers(least or 1, 10**7)) if currency else None
    customer = draw(st.none() | st.text("ABC-123*?", min_size=1, max_size=8))
    groups = draw(st.lists(shares, min_size=1, max_size=3))
    words = [str(brand)] if brand else []
    words += [currency] if currency else []
    words += [f">={to_decimal(least, currency)}"] if currency and least is not None else []
    words += [f"<={to_decimal(most, currency)}"] if currency and most is not None else []
    words += [f"customer:{customer}"] if customer else []
    joint = draw(st.sampled_from(["/", "&", " / ", " & "]))
    wanted = joint.join(draw(st.permutations(words))) or "*"
    targets = ">".join("+".join(f"{name}:{weight}" for name, weight in group) for group in groups)
    meant = tuple(tuple(Share(*share) for share in group) for group in groups)
    return f"{wanted}={targets}", Route(meant, brand, currency, least, most, customer)


@given(st.lists(written(), min_size=1, max_size=4))
def test_what_is_written_is_what_is_read(many: list[tuple[str, Route]]) -> None:
    """R7: conditions in any order, joined either way, with or without blanks, mean the same."""
    assert parse(", ".join(text for text, _ in many), GATEWAYS) == tuple(route for _, route in many)


@given(st.text(max_size=60) | st.text("amex/USD&=>+:,*0. payflow", max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    """R7: whatever stands in the variable, it is routes or one clear fault; it never breaks."""
    read = parse(text, GATEWAYS)
    assert isinstance(read, Fault) or all(set(route.gateways) <= set(GATEWAYS) for route in read)


@given(st.text(max_size=40), written())
def test_a_repeated_request_goes_the_same_way(key: str, one: tuple[str, Route]) -> None:
    """R15: the draw depends on the key alone; every way begins in the first group and names no gateway twice."""
    _, route = one
    open_to_all = Route(route.groups)
    first, again = way([open_to_all], asked(key=key)), way([open_to_all], asked(key=key, minor=7, customer="X"))
    assert first == again
    assert first[0] in {share.gateway for share in route.groups[0]}
    assert len(set(first)) == len(first)


def test_weights_share_the_payments() -> None:
    """R7: of many payments each gateway gets its share, within what chance allows."""
    shared = routes("*=payflow:80+plugnpay:15+stripe:5")
    drawn = Counter(gateway_for(shared, asked(key=f"key-{number}")) for number in range(10_000))
    for gateway, expected in (("payflow", 8000), ("plugnpay", 1500), ("stripe", 500)):
        assert abs(drawn[gateway] - expected) < 200


def test_the_second_draw_does_not_follow_the_first() -> None:
    """E6: those who fall back from one gateway spread over the next group by its weights."""
    shared = routes("*=payflow+plugnpay>stripe+payflow")
    ways = Counter(way(shared, asked(key=f"key-{number}")) for number in range(4000))
    assert set(ways) == {("payflow", "stripe"), ("payflow",), ("plugnpay", "stripe"), ("plugnpay", "payflow")}
    assert all(800 < times < 1200 for times in ways.values())


def test_what_may_be_charged() -> None:
    """R7: a window that does not know the amount yet asks for the card where some amounts are charged."""
    assert may_charge(routes("USD/>=10.00=payflow"), Brand.VISA, "USD")
    assert not may_charge(routes("USD/>=10.00=payflow"), Brand.VISA, "EUR")
    assert may_charge([only("payflow")], Brand.JCB, "JPY")


def test_routes_are_shown_to_people() -> None:
    """The console shows what a route asks and where it leads."""
    [route] = routes("USD/>=10.00/<20=payflow:80+plugnpay:20>stripe")
    assert route.amounts() == "from 10.00 to 19.99"
    assert route.targets() == "payflow 80 of 100, plugnpay 20 of 100; else stripe"
    assert route.gateways == ("payflow", "plugnpay", "stripe")
