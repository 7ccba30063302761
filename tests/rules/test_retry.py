"""When a declined card is tried again: the schedule as a table, its shifts, and its limits (R16)."""

# ruff: noqa: DTZ001 - the expected times are wall-clock times in the payer's zone

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rules.calendar import is_rest_day, off_rest_days, payday_within
from rules.cards import Brand
from rules.outcomes import DeclineClass, Declined, Failed, FailureClass
from rules.retry import (
    DEFAULT_POLICY,
    CardCounts,
    CardFacts,
    End,
    History,
    RetryAt,
    RetryPolicy,
    after_failure,
    blocks_card,
    cap_reached,
    decide,
    inquiry_due,
    read_advice,
)

TECHNICAL, DATED = DeclineClass.SOFT_TECHNICAL, DeclineClass.SOFT_DATED
GENERIC, UNLISTED = DeclineClass.SOFT_GENERIC, DeclineClass.SOFT_UNLISTED
NEW_DATA, OTHER_WAY, HARD = DeclineClass.NEW_DATA, DeclineClass.OTHER_WAY, DeclineClass.HARD

NEW_YORK = ZoneInfo("America/New_York")
VISA = CardFacts(Brand.VISA, 12, 2039)
MASTERCARD = CardFacts(Brand.MASTERCARD, 12, 2039)
FIRST = datetime(2027, 3, 2, 19, 0, tzinfo=UTC)  # Tuesday 2 March 2027, 14:00 in New York
NO_JITTER = RetryPolicy(closes=DEFAULT_POLICY.opens, technical_spread=0.0, advice_spread=timedelta(0))
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def declined(decline: DeclineClass, advice: str = "", code: str = "12") -> Declined:
    """A decline of that class."""
    return Declined(decline, code, advice=advice)


def history(*classes: DeclineClass, first: datetime = FIRST, card: CardCounts | None = None) -> History:
    """The declines of a payment so far, in order."""
    counts = {decline: classes.count(decline) for decline in classes}
    return History(first, len(classes), counts, card or CardCounts(len(classes), len(classes), len(classes)))


def planned(
    classes: list[DeclineClass],
    now: datetime,
    *,
    first: datetime = FIRST,
    advice: str = "",
    card: CardFacts = VISA,
    policy: RetryPolicy = NO_JITTER,
    zone: ZoneInfo = NEW_YORK,
) -> datetime | None:
    """The local time of the next attempt after these declines, the last of them at `now`; None at an end."""
    counts = CardCounts(1, len(classes), len(classes))
    decision = decide(
        declined(classes[-1], advice), history(*classes, first=first, card=counts), card, now, policy, zone, salt=7
    )
    return decision.due_at.astimezone(zone).replace(tzinfo=None) if isinstance(decision, RetryAt) else None


def test_days_of_the_dated_row() -> None:
    """R16: lack of funds is tried on days 3, 6, 10, 15 and 22, moved to paydays close behind and off Sundays."""
    now, seen = FIRST, []
    for tries in range(1, 7):
        due = planned([DATED] * tries, now)
        seen.append(due)
        if due is not None:
            now = due.replace(tzinfo=NEW_YORK)
    assert seen == [
        datetime(2027, 3, 5, 9),  # 2 + 3 = Friday 5
        datetime(2027, 3, 8, 9),  # 2 + 6 = Monday 8
        datetime(2027, 3, 12, 9),  # 2 + 10 = Friday 12; the 15th is 3 days away
        datetime(2027, 3, 17, 9),  # 2 + 15 = Wednesday 17
        datetime(2027, 3, 24, 9),  # 2 + 22 = Wednesday 24
        None,  # six attempts
    ]


@pytest.mark.parametrize(
    ("decline", "first", "expected"),
    [
        (DATED, datetime(2027, 3, 10, 15), datetime(2027, 3, 15, 9)),  # 10 + 3 = 13, the 15th is within 2 days
        (DATED, datetime(2027, 3, 9, 15), datetime(2027, 3, 12, 9)),  # 9 + 3 = 12, the 15th is not
        (DATED, datetime(2027, 4, 26, 15), datetime(2027, 4, 30, 9)),  # 26 + 3 = 29, last weekday is Friday 30
        (DATED, datetime(2027, 7, 27, 15), datetime(2027, 7, 30, 9)),  # 27 + 3 = 30, the last weekday itself
        (DATED, datetime(2027, 5, 26, 15), datetime(2027, 5, 31, 9)),  # 26 + 3 = 29, last weekday is Monday 31
        (DATED, datetime(2027, 7, 28, 15), datetime(2027, 8, 2, 9)),  # 28 + 3 = 31; 1 August is a Sunday: Monday 2
        (DATED, datetime(2028, 2, 24, 15), datetime(2028, 2, 29, 9)),  # 24 + 3 = 27; leap day is the last weekday
        (DATED, datetime(2027, 12, 20, 15), datetime(2027, 12, 23, 9)),  # 20 + 3 = 23, before the holidays
        (DATED, datetime(2027, 12, 21, 15), datetime(2027, 12, 27, 9)),  # 21 + 3 = 24; 25, 26 rest: Monday 27
        (DATED, datetime(2027, 12, 29, 15), datetime(2028, 1, 3, 9)),  # 29 + 3 = 1 January, a Saturday: Monday 3
        (GENERIC, datetime(2027, 3, 13, 15), datetime(2027, 3, 15, 9)),  # 13 + 2 = 15
        (GENERIC, datetime(2027, 3, 12, 15), datetime(2027, 3, 15, 9)),  # 12 + 2 = Sunday 14: Monday
        (GENERIC, datetime(2027, 3, 11, 15), datetime(2027, 3, 13, 9)),  # 11 + 2 = Saturday 13; no payday for these
        (UNLISTED, datetime(2027, 3, 2, 15), datetime(2027, 3, 4, 9)),  # 2 + 2
        (TECHNICAL, datetime(2027, 3, 2, 15), datetime(2027, 3, 2, 16)),  # + 1 h
    ],
)
def test_first_retry(decline: DeclineClass, first: datetime, expected: datetime) -> None:
    """R16: the first retry of each class, with paydays, month ends, Sundays and the days of rest."""
    started = first.replace(tzinfo=NEW_YORK)
    assert planned([decline], started, first=started) == expected


def test_technical_row() -> None:
    """R16: an unreachable bank is tried after 1 h, 6 h, 1, 3 and 6 days, whatever the hour or weekday."""
    now, hours = FIRST, []
    for tries in range(1, 7):
        due = planned([TECHNICAL] * tries, now)
        if due is None:
            break
        now = due.replace(tzinfo=NEW_YORK)
        hours.append((now - FIRST) / HOUR)
    assert hours == [1, 6, 24, 72, 144]


def test_technical_row_ends_on_day_seven() -> None:
    """R16: a technical retry that would fall behind the row's end is made on its last morning, and none after it."""
    assert planned([TECHNICAL] * 5, FIRST + 5 * DAY) == datetime(2027, 3, 9, 9)  # 5 + 3 = day 8; day 7 is the last
    assert planned([TECHNICAL] * 5, FIRST + 7 * DAY) is None


def test_day_and_hour_follow_the_payers_clock() -> None:
    """R16: the morning stays a morning when the clocks change in between (14 March 2027 in New York)."""
    first = datetime(2027, 3, 12, 3, 30, tzinfo=UTC)  # Thursday 11 March, 22:30 in New York, five hours behind
    decision = decide(
        declined(GENERIC), history(GENERIC, GENERIC, first=first), VISA, first + 2 * DAY, NO_JITTER, NEW_YORK, 7
    )
    assert isinstance(decision, RetryAt)
    assert decision.due_at == datetime(2027, 3, 16, 13, 0, tzinfo=UTC)  # 11 + 5 = 16, 09:00 four hours behind


@pytest.mark.parametrize(
    ("advice", "hours", "expected"),
    [
        ("24", 1, datetime(2027, 3, 2, 15, 0)),  # 14:00 + 1 h
        ("25", 24, datetime(2027, 3, 4, 9, 0)),  # 3 March 14:00: the next morning
        ("02", 72, datetime(2027, 3, 6, 9, 0)),  # 5 March 14:00: Saturday morning
        ("26", 48, datetime(2027, 3, 5, 9, 0)),  # 4 March 14:00
        ("27", 96, datetime(2027, 3, 8, 9, 0)),  # 6 March 14:00; 7 is a Sunday
        ("28", 144, datetime(2027, 3, 9, 9, 0)),  # 8 March 14:00
        ("29", 192, datetime(2027, 3, 11, 9, 0)),  # 10 March 14:00
        ("30", 240, datetime(2027, 3, 15, 9, 0)),  # 12 March 14:00; 13, and the 15th is within 2 days
    ],
)
@pytest.mark.parametrize("said", [DATED, GENERIC, TECHNICAL, UNLISTED])
def test_mastercards_waits(said: DeclineClass, advice: str, hours: int, expected: datetime) -> None:
    """R16: Mastercard's advice to wait is a minimum, and makes every soft decline a dated one."""
    decision = decide(declined(said, advice), history(said), MASTERCARD, FIRST, NO_JITTER, NEW_YORK, 7)
    assert isinstance(decision, RetryAt)
    assert decision.not_before == FIRST + hours * HOUR
    assert decision.due_at.astimezone(NEW_YORK).replace(tzinfo=None) == expected


def test_advised_waits_count_as_dated_retries() -> None:
    """R16: Mastercard's waits give no more retries than the dated row has."""
    policy = RetryPolicy(dated_days=(3,))
    for classes, expected in (([DATED], RetryAt), ([DATED, DATED], End)):
        decision = decide(declined(DATED, "25"), history(*classes), MASTERCARD, FIRST, policy, NEW_YORK, 7)
        assert isinstance(decision, expected)


def test_dated_days_follow_an_advised_wait() -> None:
    """R16: after an advised wait the dated row's later days go on."""
    after_wait = datetime(2027, 3, 6, 9, 0, tzinfo=NEW_YORK)  # day 4
    assert planned([DATED, DATED], after_wait, card=MASTERCARD) == datetime(2027, 3, 8, 9)  # 2 + 6 = 8


@pytest.mark.parametrize(
    ("said", "code", "advice", "brand", "expected"),
    [
        (GENERIC, "05", "03", Brand.MASTERCARD, HARD),
        (DATED, "51", "03", Brand.MASTERCARD, HARD),  # advice beats the response code
        (GENERIC, "05", "21", Brand.MASTERCARD, HARD),
        (GENERIC, "05", "01", Brand.MASTERCARD, NEW_DATA),
        (OTHER_WAY, "83", "01", Brand.MASTERCARD, OTHER_WAY),  # additional information: authenticate
        (NEW_DATA, "79", "02", Brand.MASTERCARD, DATED),  # collapsed codes: the advice decides
        (OTHER_WAY, "83", "24", Brand.MASTERCARD, DATED),
        (NEW_DATA, "54", "02", Brand.MASTERCARD, NEW_DATA),  # "later" lifts nothing else
        (HARD, "43", "24", Brand.MASTERCARD, HARD),
        (HARD, "82", "02", Brand.MASTERCARD, HARD),
        (HARD, "43", "01", Brand.MASTERCARD, HARD),  # new data do not revive a dead card
        (GENERIC, "05", "40", Brand.MASTERCARD, GENERIC),  # prepaid card: informational
        (DATED, "51", "02", Brand.VISA, HARD),  # Visa's 02 stops this payment
        (DATED, "51", "03", Brand.VISA, HARD),
        (DATED, "51", "24", Brand.VISA, DATED),
        (DATED, "51", "21", Brand.AMEX, HARD),  # "do not" can only make it harder
        (GENERIC, "05", "", Brand.DISCOVER, GENERIC),
    ],
)
def test_advice_is_read_with_the_brand(
    said: DeclineClass, code: str, advice: str, brand: Brand, expected: DeclineClass
) -> None:
    """R16: the same advice code means other things at Visa and at Mastercard."""
    assert read_advice(declined(said, advice, code), brand).decline is expected


@pytest.mark.parametrize("decline", [NEW_DATA, OTHER_WAY, HARD])
def test_no_retry_by_itself(decline: DeclineClass) -> None:
    """B55, R16: hard declines, and those that need the payer, are never tried again by themselves."""
    decision = decide(declined(decline), history(decline), VISA, FIRST, DEFAULT_POLICY, NEW_YORK, 7)
    assert isinstance(decision, End)
    assert decision.blocks_card is (decline is HARD)
    assert decision.clerk
    for word in ("lost", "stolen", "fraud", "suspect"):
        assert word not in decision.customer.lower()


def test_what_blocks_a_card() -> None:
    """R16: hard declines block the card for every payment; Visa's stop of one payment does not."""
    assert blocks_card(declined(HARD), Brand.VISA)
    assert blocks_card(declined(DATED, "03"), Brand.MASTERCARD)
    assert blocks_card(declined(DATED, "03"), Brand.VISA)
    assert not blocks_card(declined(DATED, "02"), Brand.VISA)
    assert not blocks_card(declined(DATED, "02"), Brand.MASTERCARD)


def test_blocked_card_ends_a_soft_decline() -> None:
    """R16: a card that another payment found to be dead is not tried again."""
    decision = decide(
        declined(DATED), history(DATED, card=CardCounts(blocked=True)), VISA, FIRST, DEFAULT_POLICY, NEW_YORK, 7
    )
    assert isinstance(decision, End)
    assert decision.blocks_card


def test_class_changes() -> None:
    """R16: the latest answer rules, and the days that are left of its row count."""
    day_2 = datetime(2027, 3, 4, 9, 0, tzinfo=NEW_YORK)
    day_3 = datetime(2027, 3, 5, 9, 0, tzinfo=NEW_YORK)
    assert planned([GENERIC, DATED], day_2) == datetime(2027, 3, 5, 9)  # 05 then 51: day 3 is left, 24 h later
    assert planned([DATED, NEW_DATA], day_3) is None  # 51 then 54: stop and ask
    assert planned([DATED, TECHNICAL], day_3) == datetime(2027, 3, 5, 10)  # + 1 h
    assert planned([DATED, GENERIC], day_3) == datetime(2027, 3, 8, 9)  # day 5 = Sunday 7: Monday
    assert planned([DATED, UNLISTED], day_3) is None  # its only day, 2, has gone by


def test_expired_before_the_slot() -> None:
    """B55: a card 12/26 declined on 30 December has expired before its retry: no call, "card expired"."""
    first = datetime(2026, 12, 30, 15, tzinfo=UTC)
    decision = decide(
        declined(DATED),
        history(DATED, first=first),
        CardFacts(Brand.VISA, 12, 2026),
        first,
        DEFAULT_POLICY,
        NEW_YORK,
        7,
    )
    assert isinstance(decision, End)
    assert "card expired" in decision.why
    assert not decision.blocks_card
    still_good = decide(
        declined(DATED), history(DATED, first=first), CardFacts(Brand.VISA, 1, 2027), first, DEFAULT_POLICY, NEW_YORK, 7
    )
    assert isinstance(still_good, RetryAt)


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        (CardCounts(last_day=3, last_month=11, same_charge=7), datetime(2027, 3, 2, 15)),  # + 1 h
        (CardCounts(last_day=4, last_month=4), datetime(2027, 3, 3, 14)),  # 24 h until the window is free
        (CardCounts(last_day=1, last_month=12), None),  # 30 days: past the end
        (CardCounts(last_day=1, last_month=1, same_charge=8), None),
    ],
)
def test_caps_of_the_card(counts: CardCounts, expected: datetime | None) -> None:
    """R16: 4 attempts in 24 hours, 12 in 30 days, 8 for one charge, over all payments of the card."""
    decision = decide(declined(TECHNICAL), history(TECHNICAL, card=counts), VISA, FIRST, NO_JITTER, NEW_YORK, 7)
    due = decision.due_at.astimezone(NEW_YORK).replace(tzinfo=None) if isinstance(decision, RetryAt) else None
    assert due == expected


@pytest.mark.parametrize(
    ("counts", "word"),
    [
        (CardCounts(3, 11, 7), None),
        (CardCounts(4, 4, 0), "24 hours"),
        (CardCounts(0, 12, 0), "30 days"),
        (CardCounts(0, 8, 8), "same amount"),
        (CardCounts(blocked=True), "for good"),
    ],
)
def test_caps_right_before_a_send(counts: CardCounts, word: str | None) -> None:
    """R16: the caps can be asked for again before a send; a looser policy does not lift those in code."""
    loose = RetryPolicy(card_attempts_per_day=100, card_attempts_per_month=100, charge_attempts=100)
    reason = cap_reached(counts, loose)
    assert (reason is None) if word is None else (reason is not None and word in reason)


def test_policy_can_be_stricter_only() -> None:
    """R16: the six attempts of a payment are a cap in code."""
    loose = RetryPolicy(payment_attempts=50, dated_days=tuple(range(1, 23)))
    now, attempts = FIRST, 1
    while (due := planned([DATED] * attempts, now, policy=loose)) is not None:
        attempts, now = attempts + 1, due.replace(tzinfo=NEW_YORK)
    assert attempts == 6
    assert planned([DATED, DATED], FIRST, policy=RetryPolicy(payment_attempts=2)) is None


soft = st.sampled_from([TECHNICAL, DATED, GENERIC, UNLISTED])
zones = st.sampled_from(["America/New_York", "Europe/London", "Asia/Kolkata", "Pacific/Auckland", "America/Santiago"])


@settings(max_examples=150, deadline=None)
@given(
    first=st.datetimes(datetime(2026, 1, 1), datetime(2030, 12, 31), timezones=st.just(UTC)),
    classes=st.lists(soft, min_size=7, max_size=7),
    advices=st.lists(st.sampled_from(["", "", "02", "24", "25", "30"]), min_size=7, max_size=7),
    zone_name=zones,
    salt=st.integers(1, 2**63),
    last_day=st.integers(0, 5),
    last_month=st.integers(0, 13),
)
def test_never_too_early_and_never_too_often(
    first: datetime,
    classes: list[DeclineClass],
    advices: list[str],
    zone_name: str,
    salt: int,
    last_day: int,
    last_month: int,
) -> None:
    """R16: whatever is declined, no retry comes before its wait, none at night, and never a seventh attempt."""
    zone, now, made = ZoneInfo(zone_name), first, 0
    for decline, advice in zip(classes, advices, strict=True):
        made += 1
        so_far = history(*classes[:made], first=first, card=CardCounts(last_day, last_month, made))
        arguments = (declined(decline, advice), so_far, MASTERCARD, now, DEFAULT_POLICY, zone, salt)
        decision = decide(*arguments)
        assert decide(*arguments) == decision
        if isinstance(decision, End):
            break
        assert decision.due_at >= decision.not_before >= now
        if last_day >= 4:
            assert decision.due_at >= now + DAY
        local = decision.due_at.astimezone(zone)
        advised = read_advice(declined(decline, advice), Brand.MASTERCARD)
        assert decision.due_at >= now + (advised.wait or timedelta(0))
        if advised.decline is not TECHNICAL and (advised.wait is None or advised.wait >= DAY):
            assert DEFAULT_POLICY.opens <= local.time() <= DEFAULT_POLICY.closes
            assert not is_rest_day(local.date(), frozenset())
            assert decision.due_at - now >= 20 * HOUR
        now = decision.due_at
    assert made <= 6
    assert last_month < 12 or made == 1


def test_attempts_of_a_run_are_spread() -> None:
    """R16: different payments get different minutes of the morning, the same payment the same one."""
    dues = {
        decision.due_at
        for salt in range(200)
        if isinstance(
            decision := decide(declined(DATED), history(DATED), VISA, FIRST, DEFAULT_POLICY, NEW_YORK, salt), RetryAt
        )
    }
    assert len(dues) > 150
    assert max(dues) - min(dues) > 2 * HOUR


def test_texts_of_a_retry() -> None:
    """R16: the customer reads when it is tried again, the clerk from the second generic decline on whom to call."""
    first = decide(declined(DATED), history(DATED), VISA, FIRST, DEFAULT_POLICY, NEW_YORK, 7)
    assert isinstance(first, RetryAt)
    assert "2027-03-05" in first.customer
    assert "attempt 2" in first.why
    second = decide(declined(GENERIC), history(GENERIC, GENERIC), VISA, FIRST + 2 * DAY, DEFAULT_POLICY, NEW_YORK, 7)
    assert isinstance(second, RetryAt)
    assert "call the bank" in second.clerk


def test_bank_holidays_are_settings() -> None:
    """R16: bank holidays given as settings move an attempt to the next weekday."""
    policy = RetryPolicy(bank_holidays=frozenset({date(2027, 3, 5)}))
    due = planned([DATED], FIRST, policy=policy)
    assert due is not None
    assert due.date() == date(2027, 3, 8)  # Friday 5 is one; Saturday is no weekday


def test_calendar_helpers() -> None:
    """R16: days of rest lead to a Monday to Friday; paydays are looked for ahead only."""
    assert off_rest_days(date(2026, 12, 24), frozenset()) == date(2026, 12, 28)  # Thursday; 25, 26, 27 rest
    assert off_rest_days(date(2027, 3, 6), frozenset()) == date(2027, 3, 6)  # a Saturday may stay
    assert payday_within(date(2027, 3, 16), 2) == date(2027, 3, 16)
    assert payday_within(date(2027, 2, 25), 2) == date(2027, 2, 26)  # Friday; 28 is a Sunday


@pytest.mark.parametrize("failure", [FailureClass.NOT_SENT, FailureClass.BUSY])
def test_calls_that_did_nothing(failure: FailureClass) -> None:
    """E3: what was certainly not sent is sent after 1, 5, 15, 60 minutes, every 4 hours, then by a person."""
    minutes = []
    for failures in range(6):
        decision = after_failure(Failed(failure, "timeout"), failures, FIRST, 7, NO_JITTER)
        assert isinstance(decision, RetryAt)
        minutes.append((decision.due_at - FIRST) / timedelta(minutes=1))
    assert minutes == [1, 5, 15, 60, 240, 240]
    assert isinstance(after_failure(Failed(failure, "timeout"), 24, FIRST, 7), End)


@pytest.mark.parametrize(
    ("failure", "hours"), [(FailureClass.REFUSED, [1, 24]), (FailureClass.GATEWAY_SETUP, [0.25, 1, 4, 12, 24])]
)
def test_refusals_and_setup(failure: FailureClass, hours: list[float]) -> None:
    """E3: a refused request or a wrong set-up is tried a few times only; then an administrator is asked."""
    for failures, expected in enumerate(hours):
        decision = after_failure(Failed(failure, "4"), failures, FIRST, 7, NO_JITTER)
        assert isinstance(decision, RetryAt)
        assert (decision.due_at - FIRST) / HOUR == expected
    assert isinstance(after_failure(Failed(failure, "4"), len(hours), FIRST, 7), End)


def test_failure_never_shows_a_long_number() -> None:
    """C3: a code that could be a card number is not repeated."""
    decision = after_failure(Failed(FailureClass.REFUSED, "4111111111111111"), 9, FIRST, 7)
    assert "4111" not in repr(decision)


@given(asked=st.integers(0, 1_000), salt=st.integers(1, 2**63))
def test_inquiries_grow(asked: int, salt: int) -> None:
    """E4: inquiries come after 30 s, 1, 2, 5, 15 min, 1, 2 h and then every 6 h, at most a fifth later."""
    steps = [30, 60, 120, 300, 900, 3600, 7200, 21600]
    delay = (inquiry_due(asked, FIRST, salt) - FIRST).total_seconds()
    step = steps[min(asked, len(steps) - 1)]
    assert step <= delay <= step * 1.2
