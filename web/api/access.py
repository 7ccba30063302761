"""Who calls, and whether they may: the key of the Authorization header, its scopes, its customer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Final

from fastapi import Depends, Request

from books import api_keys
from books.api_keys import ApiKey
from books.people import User
from rules.apps import Scope, may
from rules.errors import Fault
from rules.people import Role
from web import rights
from web.office import At, Office
from web.problems import NOT_ALLOWED, UNAUTHENTICATED, Refused

SCHEME: Final = "bearer"


def brings_key(request: Request) -> bool:
    """Whether a key is brought, right or wrong."""
    return request.headers.get("authorization", "").partition(" ")[0].lower() == SCHEME


def needs(*scopes: Scope) -> Callable[..., ApiKey]:
    """The dependency of a handler: the key that calls, which has one of these scopes.

    Raises Refused: 401 without a key that opens something, 403 where its scopes do not suffice, 429 where it, or an
    address without one, calls too often.
    """

    def check(request: Request, at: At) -> ApiKey:
        secret = request.headers.get("authorization", "").partition(" ")[2].strip()
        key = None
        if secret and brings_key(request):
            with at.engine.begin() as conn:
                key = api_keys.use(conn, secret)
        if key is None:
            at.limits.of_stranger(request)
            raise Refused(UNAUTHENTICATED, "Send the header Authorization: Bearer with a key that was not revoked.")
        at.limits.of_key(request, key.name, key.id)
        if not may(key.scopes, scopes):
            raise Refused(NOT_ALLOWED, f"This needs a key with the scope {' or '.join(scopes)}.")
        return key

    return check


Reader = Annotated[ApiKey, Depends(needs(Scope.READ))]
"""A handler's parameter for keys that may look: `key: Reader`; likewise the next ones."""
Previewer = Annotated[ApiKey, Depends(needs(Scope.READ, Scope.PAY))]
Payer = Annotated[ApiKey, Depends(needs(Scope.PAY))]
Voider = Annotated[ApiKey, Depends(needs(Scope.VOID))]
Refunder = Annotated[ApiKey, Depends(needs(Scope.REFUND))]
Administrator = Annotated[ApiKey, Depends(needs(Scope.ADMIN))]


_key_pays: Final = needs(Scope.PAY)
_person_is_clerk: Final = rights.require(Role.CLERK)


def keeps_cards(request: Request, at: At, fields: rights.Fields) -> ApiKey | User:
    """The dependency of the card endpoint, which apps and the console share. Raises as `needs` and `rights.require`."""
    return _key_pays(request, at) if brings_key(request) else _person_is_clerk(request, at, fields)


CardKeeper = Annotated[ApiKey | User, Depends(keeps_cards)]
"""A handler's parameter: `keeper: CardKeeper`."""


def stands(at: Office, key: ApiKey) -> bool:
    """Whether a key that began to listen was not revoked since."""
    with at.looking() as conn:
        return api_keys.stands(conn, key.id)


def for_all_customers(key: ApiKey) -> None:
    """Raise Refused for a key that is for one customer only."""
    if key.customer is not None:
        raise Refused(NOT_ALLOWED, "This key is for one customer only; use a key that is for all.")


def other_customer(key: ApiKey, number: object) -> Fault | None:
    """The fault of a request for a customer that the key may not see: said as if there were no such customer."""
    if key.customer is None or number is None or number == key.customer:
        return None
    return Fault("customer", "", "no such customer", "Compare the number, or record the customer first")
