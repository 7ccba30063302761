"""Which gateway a card goes to: configuration, read as a list of routes of which the first that fits is taken (R7)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from rules.cards import Brand
from rules.errors import Fault, shown
from rules.money import check_currency

_REMEDY = "Write routes as amex=plugnpay,visa/USD=payflow,EUR=payflow,*=payflow."


@dataclass(frozen=True, slots=True)
class Route:
    """Cards of this brand (None: of any) in this currency (None: in any) go to this gateway."""

    brand: Brand | None
    currency: str | None
    gateway: str


def parse(text: str, gateways: Collection[str]) -> tuple[Route, ...] | Fault:
    """The routes that a text such as "amex=plugnpay,visa/USD=payflow,*=payflow" names, or what is wrong with it."""
    routes = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        wanted, equals, gateway = (word.strip() for word in part.partition("="))
        if not equals:
            return Fault("card_routes", shown(part), "this route names no gateway", _REMEDY)
        if gateway not in gateways:
            known = ", ".join(gateways) or "none"
            return Fault("card_routes", shown(part), f"no such gateway is configured (there is: {known})", _REMEDY)
        route = _route(wanted, gateway)
        if isinstance(route, Fault):
            return route
        routes.append(route)
    return tuple(routes)


def gateway_for(routes: Sequence[Route], brand: Brand, currency: str) -> str | None:
    """The gateway of the first route that fits; None: such a card is recorded and not charged (R7)."""
    for route in routes:
        if route.brand in (None, brand) and route.currency in (None, currency):
            return route.gateway
    return None


def _route(wanted: str, gateway: str) -> Route | Fault:
    if wanted == "*":
        return Route(None, None, gateway)
    brand: Brand | None = None
    currency: str | None = None
    for word in wanted.split("/"):
        if brand is None and word in list(Brand):
            brand = Brand(word)
        elif currency is None and word.isupper():
            checked = check_currency(word, "card_routes")
            if isinstance(checked, Fault):
                return checked
            currency = checked
        else:
            brands = ", ".join(Brand)
            return Fault("card_routes", shown(wanted), f"neither *, a brand ({brands}) nor a currency (USD)", _REMEDY)
    return Route(brand, currency, gateway)
