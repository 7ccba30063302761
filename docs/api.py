# ruff: noqa: E501 - a row of a table is one line
"""Prints docs/api.md, the API for upstream apps: `python -m docs.api > docs/api.md`."""

from __future__ import annotations

from typing import Final

from rules.apps import KEY_MAX, Scope
from rules.requests import FIELDS
from web.api import batches, payments, requests
from web.problems import ALL

CALLS: Final = """curl -s $DEFRAY/v1/customers -H "Authorization: Bearer $KEY" -H "Idempotency-Key: first-customer" \\
  --json '{"number": "C-1001", "name": "Hazel Ng"}'

curl -s $DEFRAY/v1/invoices -H "Authorization: Bearer $KEY" -H "Idempotency-Key: first-invoice" \\
  --json '{"customer": "C-1001", "number": "0001", "invoice_date": "2026-01-05", "due_date": "2026-02-05",
           "currency": "USD", "amount_minor": 1250}'

CARD=$(curl -s $DEFRAY/v1/cards -H "Authorization: Bearer $KEY" \\
  --json '{"customer": "C-1001", "number": "4111111111111111", "expiry": "12/39", "security_code": "123"}' |
  sed 's/.*"token": *"\\([^"]*\\)".*/\\1/')

curl -s $DEFRAY/v1/payments -H "Authorization: Bearer $KEY" -H "Idempotency-Key: first-payment" \\
  --json '{"customer": "C-1001", "method": "credit_card", "card_token": "'$CARD'", "currency": "USD",
           "amount_minor": 1250, "invoices": ["0001"]}'

curl -s "$DEFRAY/v1/invoices?customer=C-1001&number=0001" -H "Authorization: Bearer $KEY"
"""
"""The quick start, as a shell runs it; a test does."""

_PAGE: Final = """# The API for upstream apps

JSON over HTTP under `/v1`, served by the web process (`defray up`, `python -m web`). Amounts are integers in minor units
(`amount_minor`: 1250 is 12.50 USD) beside their `currency` (ISO 4217); days are `2026-01-05`, moments RFC 3339 in UTC.

## Five calls to a paid invoice

With `make run` (or `defray up`) running, in a second shell in the same folder, make a key. Its secret is shown this once; only its hash is kept:

```
export DEFRAY=http://127.0.0.1:8000
export KEY=$(.venv/bin/defray keys create quick-start --scope read --scope pay | head -1)
```

A customer, an invoice, a card, a payment, and how the invoice stands a second later: `paid`.

```
{calls}```

`--json` needs curl 7.82 or later. The card number is the sandbox's.

## Keys and rights

Every call but the console's own brings `Authorization: Bearer dfk_live_...`. `defray keys create NAME --scope SCOPE`
makes a key, `defray keys list` shows all with when each was last used (to the minute), `defray keys revoke NAME` ends one
at once. With `--customer NUMBER` a key sees that customer only: everything else is not found. Every write is recorded as
made by `api key NAME`.

| scope | may |
| --- | --- |
{scopes}

## Writing exactly once

Every POST that writes has a header `Idempotency-Key`: a text of at most {key_max} characters that the app draws once for
each write, such as a UUID. It is the key's own: other API keys may use the same text. It never expires.

- The same key and the same body: the first answer again, with the header `Idempotent-Replayed: true`, and nothing is done.
  Of a payment or a batch the answer says how it stands by now.
- The same key and another body, or another address: 409 `idempotency-key-reused`.
- The first has not ended yet: 409 `idempotency-key-in-flight`; send it again after `Retry-After`.
- What was refused made nothing, and its key is free.

After a time-out, a lost connection or a 5xx send the same again with the same key. `POST /v1/cards` and
`POST /v1/payments/preview` need none: a card that was entered for a `customer` is forgotten after a day where no payment
names it.

## Calls

| call | scope | what |
| --- | --- | --- |
| `POST /v1/customers` | pay | `number`, optionally `name`, `email`, `phone` |
| `GET /v1/customers`, `GET /v1/customers/NUMBER` | read | |
| `POST /v1/invoices` | pay | `customer`, `number`, `invoice_date`, `due_date`, `currency`, `amount_minor` (or `amount`, a decimal text) |
| `GET /v1/invoices?customer=&number=`, `GET /v1/invoices/ID` | read | of one customer by `state` (`draft`, `pending`, `paid`, `void`), `invoice_date_from`, `invoice_date_to`, `due_date_from`, `due_date_to`, too |
| `POST /v1/invoices/ID/void` | void | `reason`; refused where anything is applied to it, or a payment or reversal is under way for it |
| `POST /v1/cards` | pay | `number`, `expiry`, optionally `security_code`, `name`, `street`, `city`, `state`, `postal_code`, `country`; `customer`: the token counts for that customer only |
| `POST /v1/payments` | pay | {fields} |
| `POST /v1/payments/preview` | read or pay | the same: how the sum would spread; nothing is recorded |
| `GET /v1/payments?customer=&batch=`, `GET /v1/payments/ID` | read | of a customer or a batch by `state` ({states}), `method`, `recorded_from`, `recorded_to` (before it), too |
| `GET /v1/payments?idempotency_key=` | read | the payment that this API key made under it |
| `GET /v1/payments/ID/progress` | read | live: below |
| `POST /v1/payments/ID/void` | void | `reason`; `refund_on_void_failure`: `auto` (unless given) or `ask` |
| `POST /v1/payments/ID/cancel` | void | `reason`; 202 where it is a wish, since a charge is under way |
| `POST /v1/payments/ID/move` | pay | `run_on`: another day for a payment that is planned for one |
| `POST /v1/payments/ID/refund` | refund | `reason`, and `amount_minor` for a part |
| `GET /v1/credits?customer=` | read | |
| `POST /v1/credits/apply` | pay | `customer`, `currency`, optionally `credit_id`, `invoices` |
| `GET /v1/credits/ID/applications` | read | what of it was applied to which invoice |
| `POST /v1/credits/applications/ID/reverse` | void | `reason`: the invoice owes again, the credit has it back |
| `POST /v1/batches` | pay | `payments`: 1 to {rows_max:,} payments, all or none; `label` |
| `GET /v1/batches`, `GET /v1/batches/ID` | read | how far it is; `payments_url` lists its payments |
| `GET /v1/batches/ID/progress` | read | live: below |
| `POST /v1/schedules` | pay | `customer`, `currency`, `card_token` of a kept card, `amount_minor` (or `amount`) or `all_owed`, `unit` (`week`, `month`), optionally `every`, `month_day`, `start`, `until`, `times`, `as_credit`, `notes`: [schedules](schedules.md) |
| `GET /v1/schedules?customer=`, `GET /v1/schedules/ID`, `GET .../runs` | read | where it stands, and what became of its dates |
| `POST /v1/schedules/ID/pause`, `.../skip`, `.../stop` | void | `reason` |
| `POST /v1/schedules/ID/resume` | pay | |
| `POST /v1/holds` | void | `customer`, `reason`, optionally `until`, its last day: nothing charges the customer by itself |
| `POST /v1/holds/lift`, `GET /v1/holds/NUMBER` | void, read | `customer` |
| `GET /v1/events?after=&type=&customer=` | read | what happened: [events](events.md) |
| `POST /v1/webhook-endpoints` | admin | `url`, optionally `types`, `contact`; the answer has a `secret`, this once |
| `GET /v1/webhook-endpoints`, `GET`, `DELETE /v1/webhook-endpoints/ID`, `GET .../deliveries` | admin | |
| `POST /v1/webhook-endpoints/ID/rotate-secret`, `.../enable`, `.../replay` | admin | `replay`: `event_id` or `since` |

A payment that names no `invoices` pays the oldest first; what is left over becomes a credit. `invoices` is a list of
numbers, or of `{{"number": "0001", "cap_minor": 500}}`. `card_token` is what `POST /v1/cards` answered: the number is
forgotten after the payment, unless `keep_card: true` says that the customer agreed to its being kept. `attended: true` says that the payer is
there and can answer a question of the bank's; `recurring: true`, that the charge is one of a series; `run_on`, that the card is charged on that later day ([schedules](schedules.md)). An answer of 201 says that the payment is recorded: `state` goes from `requested` by `charging` to `posted` or `declined`
([states](states.md)); while it stands as `declined` or `retrying`, `decline` says the code, its class, what it means
and what to tell clerk and customer. A row of a batch may have an `idempotency_key`; else the batch's key and its number make one.

A list comes as `{{"data": [...], "next": "..."}}`, in the order of ids: {limit} rows, or `limit=` up to {limit_max}. `next`
is the address of the next page, null at the end. `fields=id,state`, of a list or of one thing, leaves the rest out.

## Live progress

`/progress` of a payment or a batch answers with server-sent events (`text/event-stream`), read from the database, so also
while the broker is away:

```
curl -sN $DEFRAY/v1/payments/1/progress -H "Authorization: Bearer $KEY"
```

A payment's are `step` (`what`, such as `payment.charging`, and `words` for people) and `slow` (the gateway takes its time);
a batch's are `counts` (`payments`, `finished`, `waiting`, `by_state`, `pace`). The last one is `end`: of a payment with its
`state`, `words`, `address`, and `unknown` where nobody knows yet whether the card was charged. A stream that ends without
`end` (after ten minutes, or by a lost connection) is opened again with the header `Last-Event-ID`: a payment's goes on
behind that step, a batch's begins with its counts. A key that is revoked hears nothing more within ten seconds.
`examples/pay_an_invoice.py` is a whole client: it bills, pays, follows, and repeats itself after time-outs.

## Limits and the document

A key has so many calls a minute as `DEFRAY_API_CALLS_A_MINUTE` says; each answer tells what is left in `RateLimit` and
`RateLimit-Policy`. One too many gets 429 with `Retry-After`. Where Redis is away, nothing is counted. The OpenAPI 3.1
document is at `/v1/openapi.json`, and as a page at `/v1/docs`.

## Problems

Every answer has `X-Request-Id`, by which who runs Defray finds what was done for it; with a `traceparent` (W3C Trace
Context) it is your own trace's id.

What goes wrong is told as problem details (RFC 9457, `application/problem+json`) with a `type` that stays, `title`,
`status` and `detail`. Where fields are wrong, `faults` has for each its `field`, the `problem` and the `remedy`; no answer
repeats what was sent.

| type | status | when | what to do |
| --- | --- | --- | --- |
{problems}

This page is made by `python -m docs.api > docs/api.md`.
"""


def document() -> str:
    """The whole page."""
    fields = [name for name in FIELDS if name != "idempotency_key"]
    return _PAGE.format(
        calls=CALLS,
        scopes="\n".join(f"| `{scope}` | {scope.allows} |" for scope in Scope),
        key_max=KEY_MAX,
        fields=", ".join(f"`{name}`" for name in (*fields, *payments.FLAGS)),
        states=", ".join(f"`{state}`" for state in payments.STATES),
        rows_max=batches.ROWS_MAX,
        limit=requests.LIMIT,
        limit_max=requests.LIMIT_MAX,
        problems="\n".join(f"| `{one.type}` | {one.status} | {one.when} | {one.then} |" for one in ALL),
    )


if __name__ == "__main__":
    print(document(), end="")  # noqa: T201 - printing is what it is for
