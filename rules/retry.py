"""When is it tried again? A value answers: a time, or an end with what to tell people (R16).

The numbers follow the card networks' rules on re-attempts (Visa: 15 to 20 in 30 days; Mastercard: 10 in 24 hours, 35 in
30 days, waits by Merchant Advice Code) and stay far below them. Nothing here acts: `decide` is for declines,
`after_failure` for calls that certainly did nothing, `inquiry_due` for outcomes that are not known yet.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from typing import Final
from zoneinfo import ZoneInfo

from rules.calendar import business_day, off_rest_days, payday_within
from rules.cards import Brand, expires_before
from rules.declines import BY_CLASS
from rules.errors import shown
from rules.outcomes import DeclineClass, Declined, Failed, FailureClass

_DAY: Final = timedelta(days=1)
_HOUR: Final = timedelta(hours=1)
_MINUTE: Final = timedelta(minutes=1)

# Hard caps, whatever is configured. Clerks' attempts count; per card means per fingerprint and merchant account.
CARD_ATTEMPTS_PER_DAY: Final = 4  # any 24 hours
CARD_ATTEMPTS_PER_MONTH: Final = 12  # any rolling 30 days
CHARGE_ATTEMPTS: Final = 8  # same card, account and amount over all payments, 30 days
PAYMENT_ATTEMPTS: Final = 6  # the first included


class AtEnd(StrEnum):
    """What becomes of a payment whose retries ended without a yes."""

    DECLINE = "decline"
    ASK = "ask"  # a person looks


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """The schedule; every number is a setting. Days count from the first decline, in the payer's zone."""

    technical_after: tuple[timedelta, ...] = (_HOUR, 6 * _HOUR, _DAY, 3 * _DAY, 6 * _DAY)
    technical_end_day: int = 7
    dated_days: tuple[int, ...] = (3, 6, 10, 15, 22)
    dated_end_day: int = 23
    generic_days: tuple[int, ...] = (2, 5, 9, 14)
    generic_end_day: int = 15
    unlisted_days: tuple[int, ...] = (2,)
    unlisted_end_day: int = 3
    opens: time = time(9, 0)
    closes: time = time(11, 30)
    spacing: timedelta = 20 * _HOUR
    payday_reach_days: int = 2
    technical_spread: float = 0.2  # of the delay, to both sides
    advice_spread: timedelta = 2 * _HOUR  # after a wait of less than a day
    bank_holidays: frozenset[date] = frozenset()
    at_end: AtEnd = AtEnd.DECLINE
    card_attempts_per_day: int = CARD_ATTEMPTS_PER_DAY
    card_attempts_per_month: int = CARD_ATTEMPTS_PER_MONTH
    charge_attempts: int = CHARGE_ATTEMPTS
    payment_attempts: int = PAYMENT_ATTEMPTS
    not_sent_after: tuple[timedelta, ...] = (_MINUTE, 5 * _MINUTE, 15 * _MINUTE, _HOUR, 4 * _HOUR)
    not_sent_failures: int = 24  # about three days, then a person
    setup_after: tuple[timedelta, ...] = (15 * _MINUTE, _HOUR, 4 * _HOUR, 12 * _HOUR, _DAY)
    refused_after: tuple[timedelta, ...] = (_HOUR, _DAY)
    inquire_after: tuple[timedelta, ...] = (
        timedelta(seconds=30),
        _MINUTE,
        2 * _MINUTE,
        5 * _MINUTE,
        15 * _MINUTE,
        _HOUR,
        2 * _HOUR,
        6 * _HOUR,
    )


DEFAULT_POLICY: Final = RetryPolicy()


@dataclass(frozen=True, slots=True)
class CardCounts:
    """Attempts with one card at one merchant account so far, over all payments, tokens and clerks."""

    last_day: int = 0  # any 24 hours
    last_month: int = 0  # rolling 30 days
    same_charge: int = 0  # of them, for the same amount
    blocked: bool = False  # after a hard decline at that account, of whatever payment


@dataclass(frozen=True, slots=True)
class History:
    """What has been tried for a payment, the present decline included. `declines` counts them by class."""

    first_declined_at: datetime
    attempts: int
    declines: Mapping[DeclineClass, int]
    card: CardCounts = CardCounts()


@dataclass(frozen=True, slots=True)
class CardFacts:
    """What is known of a card without opening the vault."""

    brand: Brand
    exp_month: int
    exp_year: int


@dataclass(frozen=True, slots=True)
class RetryAt:
    """Try again at `due_at`; before `not_before` (network's wait, card's caps) nobody may, a clerk neither.

    `clerk` and `customer` say what to do meanwhile.
    """

    due_at: datetime
    not_before: datetime
    why: str
    clerk: str = ""
    customer: str = ""


@dataclass(frozen=True, slots=True)
class End:
    """No further attempt by itself. `blocks_card`: this card is not charged for anything until a person says so.

    `ran_out`: nothing speaks against the card, its attempts are used up.
    """

    why: str
    clerk: str
    customer: str
    blocks_card: bool = False
    ran_out: bool = False


@dataclass(frozen=True, slots=True)
class Advice:
    """What a decline means once the network's advice was read with the card's brand, and how long it says to wait."""

    decline: DeclineClass
    wait: timedelta | None = None


_SOFT: Final = frozenset(
    {DeclineClass.SOFT_TECHNICAL, DeclineClass.SOFT_DATED, DeclineClass.SOFT_GENERIC, DeclineClass.SOFT_UNLISTED}
)

# Mastercard's Merchant Advice Codes that name a wait, and those that name another class.
_MAC_WAITS: Final = {
    "02": 72 * _HOUR,
    "24": _HOUR,
    "25": _DAY,
    "26": 2 * _DAY,
    "27": 4 * _DAY,
    "28": 6 * _DAY,
    "29": 8 * _DAY,
    "30": 10 * _DAY,
}
_MAC_CLASSES: Final = {
    "01": DeclineClass.NEW_DATA,
    "03": DeclineClass.HARD,
    "04": DeclineClass.OTHER_WAY,
    "05": DeclineClass.OTHER_WAY,
    "21": DeclineClass.HARD,
    "22": DeclineClass.OTHER_WAY,
    "42": DeclineClass.HARD,
}
# Mastercard's collapsed response codes (life cycle, policy, security) say little without the advice.
_MAC_COLLAPSED: Final = frozenset({"79", "82", "83"})
# Visa under the same numbers: 02 stops this payment, 03 this merchant's, 21 all recurring ones.
_VISA_STOPS: Final = frozenset({"02", "03", "21"})
_HARDNESS: Final = (
    DeclineClass.SOFT_TECHNICAL,
    DeclineClass.SOFT_DATED,
    DeclineClass.SOFT_GENERIC,
    DeclineClass.SOFT_UNLISTED,
    DeclineClass.OTHER_WAY,
    DeclineClass.NEW_DATA,
    DeclineClass.HARD,
)


def read_advice(decline: Declined, brand: Brand) -> Advice:
    """The decline's class with the network's advice: it can make a class harder, and "later" makes soft ones dated.

    The same numbers mean other things at Visa and at Mastercard, so the brand is read first. Amex and Discover send
    none; should a number come for one of these or an unknown brand, it is read as Mastercard's.
    """
    code, said = decline.advice.strip().upper(), decline.decline
    if brand is Brand.VISA:
        return Advice(DeclineClass.HARD if code in _VISA_STOPS else said)
    collapsed = decline.code in _MAC_COLLAPSED and said is not DeclineClass.HARD
    if (wait := _MAC_WAITS.get(code)) and (said in _SOFT or collapsed):
        return Advice(DeclineClass.SOFT_DATED, wait)
    if advised := _MAC_CLASSES.get(code):
        if code == "01" and decline.code == "83":
            advised = DeclineClass.OTHER_WAY
        return Advice(max(said, advised, key=_HARDNESS.index))
    return Advice(said)


def blocks_card(decline: Declined, brand: Brand) -> bool:
    """Whether no payment at all may be tried with this card: after all hard declines but Visa's stop of one payment.

    After Mastercard's advice 03 and 21 the network asks for 30 days of memory; after others it is for good.
    """
    if brand is Brand.VISA and decline.advice.strip() == "02":
        return decline.decline is DeclineClass.HARD
    return read_advice(decline, brand).decline is DeclineClass.HARD


def cap_reached(card: CardCounts, policy: RetryPolicy = DEFAULT_POLICY) -> str | None:
    """Why one more attempt with this card must not be made now, or None; to be asked again right before a send."""
    if card.blocked:
        return "the card was declined for good"
    if card.same_charge >= min(policy.charge_attempts, CHARGE_ATTEMPTS):
        return f"{card.same_charge} attempts for the same amount with this card"
    if card.last_day >= min(policy.card_attempts_per_day, CARD_ATTEMPTS_PER_DAY):
        return f"{card.last_day} attempts with this card within 24 hours"
    if card.last_month >= min(policy.card_attempts_per_month, CARD_ATTEMPTS_PER_MONTH):
        return f"{card.last_month} attempts with this card within 30 days"
    return None


def frees_by_itself(card: CardCounts, policy: RetryPolicy = DEFAULT_POLICY) -> bool:
    """Whether the cap that is reached is only that of 24 hours, so that the attempt need but wait."""
    return cap_reached(replace(card, last_day=0), policy) is None


def decide(
    decline: Declined,
    history: History,
    card: CardFacts,
    now: datetime,
    policy: RetryPolicy,
    zone: ZoneInfo,
    salt: int,
) -> RetryAt | End:
    """R16: when a declined sale is tried again, or why it is not.

    `zone` is the payer's, else the merchant's; `salt` (the payment's id) spreads attempts and gives the same minute
    each time it is asked. The latest answer rules; counters are not reset by a change of class.
    """
    now = now.astimezone(UTC)
    advice = read_advice(decline, card.brand)
    if advice.decline not in _SOFT:
        return _end(advice.decline, BY_CLASS[advice.decline].meaning, blocks=blocks_card(decline, card.brand))
    if history.card.blocked:
        return _end(DeclineClass.HARD, "the card was declined for good before", blocks=True)
    if history.attempts >= min(policy.payment_attempts, PAYMENT_ATTEMPTS):
        return _end(advice.decline, f"{history.attempts} attempts were made for this payment, which is the limit")
    if history.card.same_charge >= min(policy.charge_attempts, CHARGE_ATTEMPTS):
        return _end(advice.decline, f"{cap_reached(history.card, policy)}, which is the limit")
    floor = max(now + (advice.wait or timedelta(0)), _card_free_at(history.card, now, policy))
    due_at = _slot(advice, history, floor, now, policy, zone, salt)
    if due_at is None:
        return _end(advice.decline, "no further attempt is planned for such a decline")
    day = business_day(due_at, zone)
    if expires_before(card.exp_month, card.exp_year, day):
        return _end(DeclineClass.NEW_DATA, f"card expired: it would not be valid on {day}, the day of the next attempt")
    why = f"{BY_CLASS[advice.decline].meaning}; attempt {history.attempts + 1} on {day}"
    if advice.wait:
        why += f", since the card's network says to wait {_spell(advice.wait)}"
    clerk, customer = _TEXTS[advice.decline]
    if advice.decline is DeclineClass.SOFT_GENERIC and history.attempts >= 2:
        clerk = "It is tried again by itself; ask the payer to call the bank or to use another card."
    return RetryAt(due_at, floor, why, clerk, customer.format(day=day))


def after_failure(
    failure: Failed, failures_so_far: int, now: datetime, salt: int, policy: RetryPolicy = DEFAULT_POLICY
) -> RetryAt | End:
    """When a call that certainly did nothing is made again; `failures_so_far` are those before this one.

    Never before the gateway wants to be asked again (`retry_after`), up to a day.
    """
    now = now.astimezone(UTC)  # elsewhere a sum of hours is one of wall-clock hours
    match failure.failure:
        case FailureClass.NOT_SENT | FailureClass.BUSY:
            delays, limit = policy.not_sent_after, policy.not_sent_failures
            what = "the gateway could not be reached" if failure.failure is FailureClass.NOT_SENT else "it is busy"
        case FailureClass.GATEWAY_SETUP:
            delays, limit = policy.setup_after, len(policy.setup_after)
            what = "the gateway refuses our account or set-up"
        case FailureClass.REFUSED:
            delays, limit = policy.refused_after, len(policy.refused_after)
            what = "the gateway refuses the request"
    said = f"{what} (code {shown(failure.code)})"
    if failures_so_far >= limit:
        return End(
            f"{said}, {failures_so_far + 1} times",
            "An administrator must look at the gateway's settings and at this request; nothing was charged.",
            "There is a problem on our side; you need not do anything.",
        )
    asked_for = min(failure.retry_after or timedelta(0), _DAY)
    delay = max(delays[min(failures_so_far, len(delays) - 1)], asked_for)
    due_at = max(_spread(now + delay, delay * policy.technical_spread, salt, failures_so_far), now + asked_for)
    return RetryAt(due_at, now + delay, f"{said}; nothing was charged, the call is made again")


def inquiry_due(asked_so_far: int, now: datetime, salt: int, policy: RetryPolicy = DEFAULT_POLICY) -> datetime:
    """When the gateway is asked (again) what became of an operation: in growing intervals, the last for ever (E4)."""
    now = now.astimezone(UTC)
    delay = policy.inquire_after[min(asked_so_far, len(policy.inquire_after) - 1)]
    return _spread(now + delay, delay * policy.technical_spread, salt, asked_so_far)


def _slot(
    advice: Advice,
    history: History,
    floor: datetime,
    now: datetime,
    policy: RetryPolicy,
    zone: ZoneInfo,
    salt: int,
) -> datetime | None:
    """The time of the next attempt, at `floor` or later; None where the class's row is used up or has ended."""
    if advice.wait is not None:
        return _after_wait(advice.wait, history, floor, policy, zone, salt)
    if advice.decline is DeclineClass.SOFT_TECHNICAL:
        return _technical_slot(history, floor, now, policy, zone, salt)
    days, _ = _row(advice.decline, policy)
    for day in days:
        target = _first_day(history, zone) + day * _DAY
        slot = _morning(_shifted(target, advice.decline, history, policy, zone), policy, zone, salt)
        if slot >= max(floor, now + policy.spacing):
            return slot
    return None


def _technical_slot(
    history: History, floor: datetime, now: datetime, policy: RetryPolicy, zone: ZoneInfo, salt: int
) -> datetime | None:
    """The next step of hours from now; after declines of another class, too, the row starts at its first step."""
    used = _declines(history, DeclineClass.SOFT_TECHNICAL) - 1
    if used >= len(policy.technical_after):
        return None
    before = policy.technical_after[used - 1] if used else timedelta(0)
    step = policy.technical_after[used] - before
    spread = step * policy.technical_spread
    due_at = max(floor, _spread(now + step - spread, 2 * spread, salt, used))
    last = _morning(_last_day(history, policy, zone), policy, zone, salt)
    due_at = min(due_at, max(last, floor))
    return due_at if due_at <= last else None


def _after_wait(
    wait: timedelta, history: History, floor: datetime, policy: RetryPolicy, zone: ZoneInfo, salt: int
) -> datetime | None:
    """After an advised wait: of hours, within two hours of its end; of days, the first morning after it."""
    if _declines(history, DeclineClass.SOFT_DATED) > len(policy.dated_days):
        return None
    last_day = _first_day(history, zone) + policy.dated_end_day * _DAY
    if business_day(floor, zone) > last_day:
        return None
    if wait < _DAY:
        return _spread(floor, policy.advice_spread, salt)
    day = business_day(floor, zone)
    if _morning(day, policy, zone, salt) < floor:
        day += _DAY
    return _morning(_shifted(day, DeclineClass.SOFT_DATED, history, policy, zone), policy, zone, salt)


def _row(decline: DeclineClass, policy: RetryPolicy) -> tuple[tuple[int, ...], int]:
    """The days of a class's attempts, and the day on which it ends."""
    match decline:
        case DeclineClass.SOFT_DATED:
            return policy.dated_days, policy.dated_end_day
        case DeclineClass.SOFT_GENERIC:
            return policy.generic_days, policy.generic_end_day
        case DeclineClass.SOFT_UNLISTED:
            return policy.unlisted_days, policy.unlisted_end_day
        case DeclineClass.SOFT_TECHNICAL:
            return (), policy.technical_end_day
        case DeclineClass.NEW_DATA | DeclineClass.OTHER_WAY | DeclineClass.HARD:
            return (), 0


def _declines(history: History, decline: DeclineClass) -> int:
    """Declines of that class; the present one counts even where the gateway's code was of another class."""
    return max(history.declines.get(decline, 0), 1)


def _first_day(history: History, zone: ZoneInfo) -> date:
    return business_day(history.first_declined_at, zone)


def _last_day(history: History, policy: RetryPolicy, zone: ZoneInfo) -> date:
    """The latest end among the classes that the payment has met."""
    met = {DeclineClass.SOFT_TECHNICAL, *(decline for decline, count in history.declines.items() if count)}
    return _first_day(history, zone) + max(_row(decline, policy)[1] for decline in met) * _DAY


def _shifted(day: date, decline: DeclineClass, history: History, policy: RetryPolicy, zone: ZoneInfo) -> date:
    """The day moved to a payday close behind it where the card lacks funds, and off the days of rest."""
    if decline is DeclineClass.SOFT_DATED:
        payday = payday_within(day, policy.payday_reach_days)
        if payday <= _first_day(history, zone) + policy.dated_end_day * _DAY:
            day = payday
    return off_rest_days(day, policy.bank_holidays)


def _card_free_at(card: CardCounts, now: datetime, policy: RetryPolicy) -> datetime:
    """When all attempts that fill one of the card's caps have left its window; `now` where none is full."""
    if card.last_month >= min(policy.card_attempts_per_month, CARD_ATTEMPTS_PER_MONTH):
        return now + 30 * _DAY
    if card.last_day >= min(policy.card_attempts_per_day, CARD_ATTEMPTS_PER_DAY):
        return now + _DAY
    return now


def _morning(day: date, policy: RetryPolicy, zone: ZoneInfo, salt: int) -> datetime:
    opens = datetime.combine(day, policy.opens, tzinfo=zone)
    span = datetime.combine(day, policy.closes) - datetime.combine(day, policy.opens)
    # Wall-clock arithmetic in the zone, so that a change of the clocks moves no attempt out of its morning.
    return _spread(opens, span, salt).astimezone(UTC)


def _spread(start: datetime, span: timedelta, *salts: int) -> datetime:
    """A moment in [start, start + span), the same for the same salts, to the second unless the span is shorter."""
    digest = hashlib.sha256(":".join(map(str, salts)).encode()).digest()
    share = int.from_bytes(digest[:6]) / 2**48
    return start + timedelta(seconds=int(span.total_seconds() * share))


def _spell(wait: timedelta) -> str:
    hours = wait // _HOUR
    if wait < _DAY:
        return "1 hour" if hours == 1 else f"{hours} hours"
    return "1 day" if wait == _DAY else f"{wait // _DAY} days"


def _end(decline: DeclineClass, why: str, *, blocks: bool = False) -> End:
    told = BY_CLASS[decline]
    return End(why, told.clerk, told.customer, blocks, ran_out=decline in _SOFT)


# For the clerk and for the customer, while it is tried again. A payer is never told of loss, theft or suspicion.
_TEXTS: Final[dict[DeclineClass, tuple[str, str]]] = {
    DeclineClass.SOFT_TECHNICAL: (
        "Nothing to do: it is tried again by itself.",
        "Your bank could not be reached; we try again.",
    ),
    DeclineClass.SOFT_DATED: (
        "It is tried again by itself; there is no need to call the payer at once.",
        "The card's funds or its limit did not allow the payment. We try again on {day}, or use another card.",
    ),
    DeclineClass.SOFT_GENERIC: (
        "It is tried again by itself.",
        "Your bank declined without giving a reason. Please call it or use another card; we try again on {day}.",
    ),
    DeclineClass.SOFT_UNLISTED: (
        "It is tried once more by itself; look the code up meanwhile.",
        "Your bank declined the payment. Please call it or use another card; we try again on {day}.",
    ),
}
