"""A year of a subscription business: what retries bring back by Defray's default, and by "every 24 hours, four times".

`python bench/retry_simulation.py [SUBSCRIBERS]` (20,000 unless said; the seed is fixed). Defray's side is the very code
that the worker runs, rules.retry.decide; nothing is charged and no database is needed. docs/retries.md has the
assumptions with what they were fitted to, and the table that this prints.
"""

import random
import sys
from bisect import bisect
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

sys.path.append(str(Path(__file__).resolve().parent.parent))

from gateways.issuer_codes import ISSUER_CODES
from rules import retry
from rules.calendar import is_payday
from rules.cards import Brand
from rules.outcomes import DeclineClass, Declined

SEED = 20261125
ZONE = ZoneInfo("America/New_York")
YEAR = 2026
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
NEVER = timedelta(days=10_000)

DECLINED = 0.08
WINTER = 1.2  # November to January
BRANDS = {Brand.VISA: 58, Brand.MASTERCARD: 28, Brand.AMEX: 9, Brand.DISCOVER: 5}
ATTEMPT_USD = 0.10
FUTILE_USD = 0.30  # of a network, for another attempt after a "never"


@dataclass(frozen=True)
class Reason:
    """Why renewals are declined: its share, the codes, and how likely the cause has gone so long after."""

    share: float
    codes: tuple
    gone_by: tuple = ()  # (after, share of all), rising; nothing is gone at once, and no more than the last ever is
    waits_for_money: bool = False


REASONS = {
    "no funds": Reason(
        34, ("51",),
        ((3 * DAY, 0.27), (6 * DAY, 0.416), (10 * DAY, 0.504), (15 * DAY, 0.553), (22 * DAY, 0.585)), True,
    ),
    "no reason given": Reason(28, ("05",), ((2 * DAY, 0.15), (5 * DAY, 0.252), (9 * DAY, 0.312), (14 * DAY, 0.346))),
    "expired": Reason(10, ("54",)),
    "wrong or closed number": Reason(7, ("14", "46", "78")),
    "lost or stolen": Reason(5, ("41", "43", "04")),
    "suspicion of fraud": Reason(5, ("59", "63")),
    "technical": Reason(4, ("91", "96", "19"), ((HOUR, 0.75), (6 * HOUR, 0.875), (DAY, 0.9125), (3 * DAY, 0.93))),
    "limits": Reason(3, ("61", "65"), ((3 * DAY, 0.40), (6 * DAY, 0.55), (10 * DAY, 0.6175)), True),
    "restricted": Reason(3, ("57", "62")),
    "stopped by the payer": Reason(1, ("R0", "R1", "R3")),
}  # fmt: skip
ADVICE_ON_51 = {"": 50, "02": 20, "24": 2, "25": 6, "26": 6, "27": 5, "28": 4, "29": 4, "30": 3}
HOURS = ((6, 0.70), (9, 0.96), (12, 1.0), (15, 0.94), (18, 0.87), (21, 0.81), (24, 0.76))  # until, pass, at most


@dataclass
class Renewal:
    """A declined renewal, the same for every policy: when, why, and from when on a retry can succeed."""

    at: datetime
    name: str
    code: str
    advice: str
    brand: Brand
    salt: int
    gone_at: datetime
    luck: list = field(repr=False)

    @property
    def decline(self):
        known = ISSUER_CODES[self.code]
        return Declined(known if isinstance(known, DeclineClass) else DeclineClass.SOFT_UNLISTED, self.code,
                        advice=self.advice)  # fmt: skip

    def succeeds(self, at, attempt):
        """A retry: the cause has gone, and the issuer is in the mood of the hour."""
        hour = at.astimezone(ZONE).hour
        passes = HOURS[bisect([until for until, _ in HOURS], hour)][1]
        return at >= self.gone_at and self.luck[attempt % len(self.luck)] < passes


def renewals(subscribers, source):
    """All that are declined in a year."""
    names, shares = list(REASONS), [one.share for one in REASONS.values()]
    for subscriber in range(subscribers):
        brand = source.choices(list(BRANDS), BRANDS.values())[0]
        day = source.randint(1, 28)
        for month in range(1, 13):
            if source.random() >= DECLINED * (WINTER if month in (11, 12, 1) else 1):
                continue
            at = datetime(YEAR, month, day, source.randrange(24), source.randrange(60), tzinfo=UTC)
            name = source.choices(names, shares)[0]
            reason = REASONS[name]
            code, advice = source.choice(reason.codes), ""
            hopeless = brand is Brand.MASTERCARD and code == "05" and source.random() < 0.3
            if hopeless:
                advice = "03"
            elif brand is Brand.MASTERCARD and code == "51":
                advice = source.choices(list(ADVICE_ON_51), ADVICE_ON_51.values())[0]
            gone = NEVER if hopeless else _gone_after(reason, source.random())
            gone_at = at + gone
            if reason.waits_for_money and gone < NEVER:
                gone_at = _on_payday(gone_at, source)
            luck = [source.random() for _ in range(12)]
            yield Renewal(at, name, code, advice, brand, subscriber * 12 + month, gone_at, luck)


def _gone_after(reason, drawn):
    """How long the cause lasts: the share is read off the reason's table, straight lines between its points."""
    before, below = timedelta(0), 0.0
    for after, share in reason.gone_by:
        if drawn < share:
            return before + (after - before) * ((drawn - below) / (share - below))
        before, below = after, share
    return NEVER


def _on_payday(moment, source):
    """Money comes rather on paydays: half of what comes up to two days before one comes on it."""
    for days in range(3):
        if is_payday((moment + days * DAY).astimezone(ZONE).date()) and source.random() < 0.5:
            return moment + days * DAY
    return moment


@dataclass
class Result:
    """What a policy did."""

    declined: Counter = field(default_factory=Counter)
    recovered: Counter = field(default_factory=Counter)
    attempts: Counter = field(default_factory=Counter)
    futile: int = 0  # attempts after the network or the issuer had said "never"
    days: list = field(default_factory=list)


def default(renewal, attempts_before):
    """When Defray tries again, by its default policy; None: no more."""
    sent = [renewal.at, *attempts_before]
    last = sent[-1]
    card = retry.CardCounts(
        last_day=sum(last - one < DAY for one in sent),
        last_month=len(sent),
        same_charge=len(sent),
    )
    history = retry.History(renewal.at, len(sent), {renewal.decline.decline: len(sent)}, card)
    facts = retry.CardFacts(renewal.brand, 12, YEAR + 4)
    decided = retry.decide(renewal.decline, history, facts, last, retry.DEFAULT_POLICY, ZONE, renewal.salt)
    return decided.due_at if isinstance(decided, retry.RetryAt) else None


def every_day(times):
    """Every 24 hours at the same hour, whatever was said."""

    def policy(renewal, attempts_before):
        done = len(attempts_before)
        return renewal.at + (done + 1) * DAY if done < times else None

    return policy


def play(policy, year):
    result = Result()
    for renewal in year:
        result.declined[renewal.name] += 1
        before = []
        never = retry.read_advice(renewal.decline, renewal.brand).decline in (
            DeclineClass.HARD, DeclineClass.NEW_DATA, DeclineClass.OTHER_WAY,
        )  # fmt: skip
        while (at := policy(renewal, before)) is not None:
            before.append(at)
            result.attempts[renewal.name] += 1
            result.futile += never
            if renewal.succeeds(at, len(before)):
                result.recovered[renewal.name] += 1
                result.days.append((at - renewal.at) / DAY)
                break
    return result


def report(results):
    heads = ("policy", "declined", "recovered", "share", "attempts", "attempts a recovery", "futile ones", "cost, USD")
    lines = [f"| {' | '.join(heads)} |", "| --- |" + " ---: |" * (len(heads) - 1)]
    for name, one in results.items():
        declined, recovered, attempts = (sum(of.values()) for of in (one.declined, one.recovered, one.attempts))
        cost = attempts * ATTEMPT_USD + one.futile * FUTILE_USD
        lines.append(f"| {name} | {declined:,} | {recovered:,} | {recovered / declined:.1%} | {attempts:,}"
                     f" | {attempts / recovered:.1f} | {one.futile:,} | {cost:,.0f} |")  # fmt: skip
    lines += ["", "| reason | declined | " + " | ".join(results) + " |", "| --- | ---: |" + " ---: |" * len(results)]
    first = next(iter(results.values()))
    for reason, declined in first.declined.most_common():
        shares = " | ".join(f"{one.recovered[reason] / declined:.1%}" for one in results.values())
        lines.append(f"| {reason} | {declined:,} | {shares} |")
    return "\n".join(lines)


def main(subscribers):
    year = list(renewals(subscribers, random.Random(SEED)))
    policies = {
        "Defray's default": default,
        "every 24 hours, four times": every_day(4),
        "every 24 hours, three times": every_day(3),
    }
    print(report({name: play(policy, year) for name, policy in policies.items()}))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20_000)
