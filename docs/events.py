# ruff: noqa: E501 - a row of a table is one line
"""Prints docs/events.md, what apps are told of: `python -m docs.events > docs/events.md`."""

from __future__ import annotations

from typing import Final

from rules.events import TYPES

SAMPLE: Final = """from standardwebhooks.webhooks import Webhook


def read(secret: str, headers: dict[str, str], body: bytes) -> dict:
    return Webhook(secret).verify(body, headers)  # raises WebhookVerificationError
"""
"""How a receiver verifies; a test runs it."""

_PAGE: Final = """# Events: what apps are told of

Upstream apps learn of outcomes by pull (`GET /v1/events`) or by push (webhooks). Both tell the same events, made from the
one append-only history, with the same ids. An event never changes, but that the words and the card of a
customer who was erased are gone ([retention](retention.md)). It has no notes (R6), and of a card brand and last four.

```
{{"id": 4711, "type": "payment.posted", "created_at": "2026-01-05T15:00:00Z",
 "data": {{"customer": "C-1001", "state": "posted",
          "payment": {{"id": 12, "idempotency_key": "first-payment", "batch_id": null, "method": "credit_card",
                      "currency": "USD", "amount_minor": 1250, "card": {{"brand": "visa", "last_four": "1111"}}}}}}}}
```

| type | when | `data` has a `reason` |
| --- | --- | --- |
{types}

New types may be added: pass over those that you do not know. `data` says what never changes; get the payment for how it
stands by now (what was refunded, say). `reason` is a gateway's or a rule's, never what somebody of the office wrote.

## By pull

`GET /v1/events?after=&limit=&type=&customer=` (scope read). Keep `after` of the answer and ask with it again: now, where
`more` is true, else later. `next` is that address. A page may be empty though there is `more`: it looks at 20,000 rows of
history at the most. A key for one customer sees that customer's events; those of a batch are of no customer.

Old events may be archived (`defray archive`, [retention](retention.md)), a year after they happened, say, and only when every
endpoint was told of them. A cursor behind archived events is answered by 410 `archived`, whose `detail` names the event to
go on from: nothing is skipped in silence. `after=0` begins at the oldest event that is kept. A replay of an archived event,
or since a time before the archive's, is answered by the same.

The feed never skips and never repeats. Ids are drawn before transactions commit, so event 8 may be seen before event 7.
The feed waits: it ends at a horizon, the last id of which it is proven that every transaction that could have drawn an
earlier one has ended. To find it, Defray notes the last id that was drawn, and then a transaction number drawn after it;
once the database's oldest writing transaction is not older than that number, nothing up to that id is missing. Events of
one payment are in the order in which they happened. A long transaction of this database that has written holds the feed
back, and the webhooks with it, until it ends; it costs delay, never an event. Payments pay nothing for the feed: no row, no
column and no index more. Only a restore of the database to an earlier time draws ids anew: after one, begin again from the
last event that the restored feed still has.

## By push

`POST /v1/webhook-endpoints` (scope admin) with `url`, `types` (all, if left out) and `contact` (an e-mail address) answers
with a `secret`, this once; it is kept sealed. Also: `GET`, `DELETE`, `.../rotate-secret` (the old secret signs beside the
new one for 24 hours), `.../enable`, `.../deliveries`, `.../replay` with `event_id`, or with `since`: what happened since
then and was told is told again, in steps that a worker makes; the endpoint shows `replay_since` meanwhile. `DELETE` takes no
Idempotency-Key, as it needs none: a second one finds nothing (404). The same by `defray webhooks`, and in the console under
Webhooks. An endpoint that a key for one customer made is told of that customer.

Messages are signed as [Standard Webhooks](https://www.standardwebhooks.com) says: headers `webhook-id`,
`webhook-timestamp`, `webhook-signature`. Libraries for it exist in most languages. In Python:

```python
{sample}```

- **When**: a worker that recorded something wakes the one that tells; what else happened is told within five seconds.
- **Answer** 2xx within 10 seconds. Anything else, a redirect too, is tried again: after 5 s, 1, 5, 30 min, 2, 5, 10 h and
  then every 12 h, each a fifth more or less, until three days are over.
- **Rested**: an endpoint that failed five times in a row is left alone for 1, 5 and then every 30 min, and tried by one
  delivery; when it takes one, the others go on. So a dead endpoint keeps nobody waiting.
- **Twice** may happen, after a lost answer: `webhook-id` stays the same.
- **Order**: a later event of a payment waits for the earlier ones of the same endpoint. Other payments do not wait.
- **Given up**: an endpoint that took nothing for three days, or answered 410 Gone, is disabled: an alarm, an e-mail to its
  `contact` where a mail server is set, and its state in the console. Enabled again, it is told of all that it missed.
- **Where to**: https only, and no private, loopback or link-local address, when it is registered and at each try; the
  connection goes to an address that was checked; all addresses of the name must be public.
  `DEFRAY_WEBHOOK_ALLOW_PRIVATE=yes` lifts both for trying out.

An endpoint keeps a cursor into the feed. A worker makes deliveries of what is behind it and moves it in one transaction,
so a lost message, a flushed Redis or a task that runs twice loses and doubles nothing. Without an endpoint nothing is
written.

This page is made by `python -m docs.events > docs/events.md`.
"""


def document() -> str:
    """The whole page."""
    rows = "\n".join(f"| `{one.name}` | {one.when} | {'yes' if one.reason else ''} |" for one in TYPES)
    return _PAGE.format(types=rows, sample=SAMPLE)


if __name__ == "__main__":
    print(document(), end="")  # noqa: T201 - printing is what it is for
