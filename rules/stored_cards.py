"""What the networks want to know of a card that is kept, and when a gateway's own token for it is no use (C4)."""

from __future__ import annotations

from enum import StrEnum

from rules.outcomes import Failed, FailureClass, Outcome


class KeepNumbers(StrEnum):
    """How long the number of a kept card is held once a gateway's token can stand in for it (C2)."""

    ALWAYS = "always"  # another gateway can take over
    UNTIL_TOKEN = "until_token"  # noqa: S105  # only the gateway that gave the token can charge the card


def unattended(*, attended: bool, attempts: int, failures: int) -> bool:
    """Whether nobody is there who could answer a question when a payment is sent for the next time.

    `attended`: somebody was at the screen when it was asked for; `attempts` and `failures` are those so far. What never
    reached the issuer (a failure) is no attempt of the card, so what comes after it is still the first one.
    """
    return not attended or attempts > failures


def token_refused(outcome: Outcome) -> bool:
    """Whether the gateway's own answer to a sale by token says that it did nothing with it; an issuer's no does not."""
    return isinstance(outcome, Failed) and outcome.failure is FailureClass.REFUSED
