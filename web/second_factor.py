"""The second factor: a secret shared with somebody's authenticator, offered as a picture; and the codes it shows.

The secret stands sealed in the database. Until a first right code confirmed it, it stands nowhere: the form carries it,
sealed for this user and this session, so that only an offer of ours can be taken up.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import pyotp
import segno
from markupsafe import Markup

from books import guesses, people, sessions
from books.history import tell
from books.people import SecondFactor, User
from rules.one_time_codes import address_of, step_of_code
from vault import SealedText, unpacked
from web import rights
from web.office import Office

WRONG: Final = "This code is not right, or was used before. Wait for the next one that your app shows."
TOO_MANY: Final = "Too many were wrong. Wait a quarter of an hour and try again."
_NOT_OURS: Final = "This page was out of date. Scan the new picture."
_NOT_TO_BE_READ: Final = "Your codes cannot be checked any more. Let an admin reset your two-factor log-in."


@dataclass(frozen=True, slots=True)
class Offer:
    """A secret to be put into an authenticator: in groups to be typed, as a picture, and sealed for the form."""

    secret: str = field(repr=False)
    picture: Markup = field(repr=False)
    sealed: str


def offered(at: Office, user: User, token: str, sealed: str = "") -> Offer:
    """The offer that a form of this session brought back, else a new one."""
    secret = _taken(at, user, token, sealed) or pyotp.random_base32()
    address = address_of(secret, user.name, at.settings.business_name or "Defray")
    # White ground and a border of four: what cameras need, in dark mode, too.
    picture = segno.make(address, micro=False).svg_inline(scale=5, border=4, light="#fff")
    packed = at.vault.seal_text(secret, _offer_to(user, token)).packed()
    return Offer(" ".join(secret[place : place + 4] for place in range(0, len(secret), 4)), Markup(picture), packed)  # noqa: S704


def turn_on(at: Office, user: User, token: str, sealed: str, code: str) -> str:
    """Ask this user for codes from now on, once the first was right; else why not."""
    secret = _taken(at, user, token, sealed)
    if secret is None:
        return _NOT_OURS
    with at.transaction() as (conn, now):
        attempt = guesses.attempt_inside(conn, user.name, now)
    if attempt is None:
        return TOO_MANY
    step = step_of_code(secret, code, now, None)
    if step is None:
        return WRONG
    kept = at.vault.seal_text(secret, people.two_factor_purpose(user.id))
    with at.transaction() as (conn, now):
        second = SecondFactor(kept.key_id, kept.sealed, step)
        people.set_two_factor(conn, user.name, second, now, user.name, but=sessions.hashed(token))
        guesses.succeeded(conn, attempt)
    return ""


def refusal(at: Office, user: User, code: str) -> str:
    """ "" where the code is right, which counts once; else why it is not taken."""
    with at.transaction() as (conn, now):
        attempt = guesses.attempt_inside(conn, user.name, now)
        second = people.named(conn, user.name).second_factor
    if attempt is None:
        return TOO_MANY
    secret = (
        at.vault.open_text(SealedText(second.key_id, second.sealed), people.two_factor_purpose(user.id))
        if second
        else None
    )
    if second is None or secret is None:
        return _NOT_TO_BE_READ
    step = step_of_code(secret, code, now, second.step)
    with at.transaction() as (conn, now):
        if step is None or not people.use_code(conn, user.name, second, step):
            tell(conn, "user.code_wrong", now, user.name)
            return WRONG
        guesses.succeeded(conn, attempt)
    return ""


def _taken(at: Office, user: User, token: str, sealed: str) -> str | None:
    word = unpacked(sealed)
    return at.vault.open_text(word, _offer_to(user, token)) if word else None


def _offer_to(user: User, token: str) -> str:
    return f"two-factor offer to {user.id} in {rights.csrf_token(token)}"
