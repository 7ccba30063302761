"""Which gateways a card goes to: configuration, read as a list of routes of which the first that fits is taken (R7).

A route is conditions, an equals sign and gateways: `visa/USD/>=1000.00/customer:EU-*=payflow:80+plugnpay:20>stripe`.
Conditions are joined by / or &. Gateways joined by + share the payments by their weights; those behind a > take over
where the ones before it certainly did not charge (E6).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final

from rules.cards import Brand
from rules.errors import Fault, shown
from rules.money import check_currency, parse_decimal, to_decimal
from rules.requests import PaymentRequest

_REMEDY: Final = (
    "Write routes as amex=plugnpay,visa/USD=payflow,USD/>=1000.00=payflow>plugnpay,customer:EU-*=plugnpay,"
    "*=payflow:80+plugnpay:20"
)
WEIGHT_MAX: Final = 1_000_000
"""The largest weight of a gateway."""

_AMOUNT: Final = re.compile(r"(?:amount)?\s*(>=|<=|>|<)\s*(\S+)")
_CUSTOMER: Final = "customer:"
_WEIGHT: Final = re.compile(r"[0-9]{1,7}")


@dataclass(frozen=True, slots=True)
class Asked:
    """What a route may ask of a payment. `key` is its idempotency key: a request that is repeated goes the same way."""

    brand: Brand
    currency: str
    amount_minor: int
    customer: str
    key: str


@dataclass(frozen=True, slots=True)
class Share:
    """A gateway, and how much of what comes to its group goes there."""

    gateway: str
    weight: int = 1

    def __post_init__(self) -> None:
        """A weight below nothing would take another's."""
        if self.weight < 0:
            raise ValueError(self.weight)


@dataclass(frozen=True, slots=True)
class Route:
    """Payments that meet every condition (None: any will do) go to the first group, and fall back to the next ones.

    `least_minor` and `most_minor` are bounds of the amount, both included. `customer` is a pattern of customer numbers
    with * for any characters and ? for one.
    """

    groups: tuple[tuple[Share, ...], ...]
    brand: Brand | None = None
    currency: str | None = None
    least_minor: int | None = None
    most_minor: int | None = None
    customer: str | None = None

    @property
    def gateways(self) -> tuple[str, ...]:
        """Every gateway that this route may lead to."""
        return tuple(dict.fromkeys(share.gateway for group in self.groups for share in group))

    def fits(self, asked: Asked) -> bool:
        """Whether the payment meets every condition."""
        return (
            self.may_fit(asked.brand, asked.currency)
            and (self.least_minor is None or self.least_minor <= asked.amount_minor)
            and (self.most_minor is None or asked.amount_minor <= self.most_minor)
            and (self.customer is None or fnmatchcase(asked.customer, self.customer))
        )

    def may_fit(self, brand: Brand, currency: str) -> bool:
        """Whether it takes some payments by such a card in this currency."""
        return self.brand in (None, brand) and self.currency in (None, currency)

    def amounts(self) -> str:
        """The bounds of the amount as people read them; "" where there are none."""
        if self.currency is None:
            return ""
        least = "" if self.least_minor is None else f"from {to_decimal(self.least_minor, self.currency)}"
        most = "" if self.most_minor is None else f"to {to_decimal(self.most_minor, self.currency)}"
        return f"{least} {most}".strip()

    def targets(self) -> str:
        """The gateways as people read them: "payflow 80 of 100, plugnpay 20 of 100; else stripe"."""
        return "; else ".join(map(_spelled, self.groups))


def only(gateway: str) -> Route:
    """Every card goes to this one."""
    return Route(((Share(gateway),),))


def parse(text: str, gateways: Collection[str]) -> tuple[Route, ...] | Fault:
    """The routes that a text such as "amex=plugnpay,visa/USD=payflow,*=payflow" names, or what is wrong with it."""
    routes = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        # The last one: a condition may have an equals sign of its own, a gateway has none.
        wanted, equals, targets = (word.strip() for word in part.rpartition("="))
        if not equals or not targets or wanted.endswith((">", "<")):
            return _wrong(part, "this route names no gateway")
        groups = _groups(targets, gateways)
        if isinstance(groups, Fault):
            return groups
        route = _route(wanted, groups)
        if isinstance(route, Fault):
            return route
        routes.append(route)
    return tuple(routes)


def way(routes: Sequence[Route], asked: Asked) -> tuple[str, ...]:
    """The gateways of the first route that fits, in the order in which they are tried; none: it is not charged (R7).

    Of a group the idempotency key draws one: the same one however often it is asked.
    """
    for route in routes:
        if route.fits(asked):
            drawn = (_draw(group, asked.key, place) for place, group in enumerate(route.groups))
            return tuple(dict.fromkeys(drawn))
    return ()


def gateway_for(routes: Sequence[Route], asked: Asked) -> str | None:
    """The gateway that a payment begins at; None: such a card is recorded and not charged (R7)."""
    return next(iter(way(routes, asked)), None)


def chooser(routes: Sequence[Route]) -> Callable[[Brand, PaymentRequest], str | None]:
    """How a producer finds the gateway of a request's card."""

    def choose(brand: Brand, request: PaymentRequest) -> str | None:
        asked = Asked(brand, request.currency, request.total_minor, request.customer, request.idempotency_key)
        return gateway_for(routes, asked)

    return choose


def may_charge(routes: Iterable[Route], brand: Brand, currency: str) -> bool:
    """Whether some payments by such a card in this currency are charged at a gateway."""
    return any(route.may_fit(brand, currency) for route in routes)


def _draw(group: Sequence[Share], key: str, place: int) -> str:
    if len(group) == 1:
        return group[0].gateway
    digest = hashlib.sha256(f"{place}:{key}".encode("utf-8", "surrogatepass")).digest()
    drawn = int.from_bytes(digest[:8]) % sum(share.weight for share in group)
    for share in group:
        if drawn < share.weight:
            return share.gateway
        drawn -= share.weight
    raise AssertionError("a draw below the sum of the weights meets one of them")


def _spelled(group: Sequence[Share]) -> str:
    if len(group) == 1:
        return group[0].gateway
    whole = sum(share.weight for share in group)
    return ", ".join(f"{share.gateway} {share.weight} of {whole}" for share in group)


def _groups(targets: str, gateways: Collection[str]) -> tuple[tuple[Share, ...], ...] | Fault:
    groups = []
    for text in targets.split(">"):
        shares: list[Share] = []
        for one in text.split("+"):
            gateway, colon, weight = (word.strip() for word in one.partition(":"))
            if gateway not in gateways:
                known = ", ".join(gateways) or "none"
                return _wrong(targets, f"no such gateway is configured: {shown(gateway)} (there is: {known})")
            if any(share.gateway == gateway for share in shares):
                return _wrong(targets, f"{gateway} stands twice in one group")
            if colon and not (_WEIGHT.fullmatch(weight) and int(weight) <= WEIGHT_MAX):
                return _wrong(targets, f"a weight is a whole number from 0 to {WEIGHT_MAX}")
            shares.append(Share(gateway, int(weight) if colon else 1))
        if not any(share.weight for share in shares):
            return _wrong(targets, "no gateway of this group has a weight above 0")
        groups.append(tuple(shares))
    return tuple(groups)


def _route(wanted: str, groups: tuple[tuple[Share, ...], ...]) -> Route | Fault:
    if wanted == "*":
        return Route(groups)
    brand: Brand | None = None
    currency: str | None = None
    customer: str | None = None
    bounds: list[tuple[str, str]] = []
    for word in (word.strip() for word in re.split("[/&]", wanted)):
        if bound := _AMOUNT.fullmatch(word):
            bounds.append((bound[1], bound[2]))
        elif customer is None and word.startswith(_CUSTOMER) and word != _CUSTOMER:
            customer = word.removeprefix(_CUSTOMER)
        elif brand is None and word in list(Brand):
            brand = Brand(word)
        elif currency is None and word.isupper():
            checked = check_currency(word, "card_routes")
            if isinstance(checked, Fault):
                return checked
            currency = checked
        else:
            brands = ", ".join(Brand)
            kinds = f"a brand ({brands}), a currency (USD), an amount (>=1000.00) nor a customer (customer:EU-*)"
            return _wrong(wanted, f"{shown(word)} is neither *, {kinds}, or is there twice")
    limits = _limits(bounds, currency, wanted)
    if isinstance(limits, Fault):
        return limits
    return Route(groups, brand, currency, *limits, customer)


def _limits(
    bounds: Sequence[tuple[str, str]], currency: str | None, wanted: str
) -> tuple[int | None, int | None] | Fault:
    """The least and the most that bounds such as (">=", "1000.00") leave, in minor units."""
    least: int | None = None
    most: int | None = None
    if bounds and currency is None:
        return _wrong(wanted, "an amount needs its currency beside it, as in USD/>=1000.00")
    for sign, text in bounds:
        minor = parse_decimal(text, currency or "", "card_routes")
        if isinstance(minor, Fault):
            return minor
        if sign in (">", ">=") and least is None:
            least = minor + (sign == ">")
        elif sign in ("<", "<=") and most is None:
            most = minor - (sign == "<")
        else:
            return _wrong(wanted, "the amount has the same bound twice")
    if least is not None and most is not None and least > most:
        return _wrong(wanted, "no amount is within these bounds")
    return least, most


def _wrong(what: str, problem: str) -> Fault:
    return Fault("card_routes", shown(what), problem, _REMEDY)
