"""Plug'n Pay: form-encoded fields to `pnpremote.cgi`, `FinalStatus`, idempotency by `orderID`.

Answers echo the request, the password included, and carry the deprecated `MStatus` and `success` fields with
the misleading values that recordings show. Choices where the documents are silent: `sandbox/README.md`.
"""

import re
import secrets
from collections.abc import Mapping
from functools import lru_cache
from typing import ClassVar
from urllib.parse import unquote_plus

from sandbox.books import Books, State, Transaction
from sandbox.cards import Issuer, acceptable, declines_first
from sandbox.clock import DAY, moment
from sandbox.contract import STREET_NUMBER, WITHOUT_TWO_DECIMALS, Behaviour, Call, Page, decimal, masked, minor_units
from sandbox.http import Request

PATH = "/payment/pnpremote.cgi"
OPERATIONS = {
    "": "sale",
    "auth": "sale",
    "mark": "capture",
    "void": "void",
    "return": "refund",
    "returnprev": "refund",
    "newreturn": "refund",
    "query_trans": "inquiry",
}

VERDICTS = {
    "00": ("success", "A", ""),
    "01": ("badcard", "C", "Call Issuer"),
    "02": ("badcard", "C", "Call Issuer"),
    "04": ("badcard", "P", "Pick Up Card"),
    "05": ("badcard", "D", "Do Not Honor"),
    "14": ("badcard", "D", "Invalid Card Number"),
    "19": ("badcard", "D", "Re-enter Transaction"),
    "41": ("badcard", "P", "Lost Card, Pick Up"),
    "43": ("badcard", "P", "Stolen Card, Pick Up"),
    "51": ("badcard", "D", "Insufficient Funds"),
    "54": ("badcard", "X", "Expired Card"),
    "61": ("badcard", "D", "Exceeds Withdrawal Limit"),
    "65": ("badcard", "D", "Activity Limit Exceeded"),
    "91": ("badcard", "D", "Issuer Unavailable"),
    "96": ("badcard", "E", "System Malfunction"),
    "200": ("badcard", "D", "Insufficient Funds"),
    "N7": ("badcard", "D", "CVV2 Mismatch"),
    "R1": ("badcard", "D", "Stop Recurring"),
    "P01": ("fraud", "E", "AVS mismatch."),
    "P02": ("fraud", "E", "CVV2 mismatch."),
    "P30": ("badcard", "E", "Test transaction: bad card."),
    "P35": ("problem", "E", "Test transaction: problem."),
    "P50": ("fraud", "E", "Fraud screen failure."),
    "P55": ("fraud", "E", "Invalid Credit Card No."),
    "P56": ("fraud", "E", "Invalid CVV."),
    "P57": ("fraud", "E", "Card is expired."),
    "P58": ("problem", "E", "Required data is missing."),
    "P76": ("problem", "E", "Duplicate transaction."),
    "P91": ("problem", "E", "Invalid publisher password."),
    "P92": ("problem", "E", "Account is not set up."),
    "P93": ("problem", "E", "IP address is not registered."),
    "P94": ("problem", "E", "Mode is not permitted."),
    "P97": ("problem", "E", "Processor is not responding."),
    "P98": ("problem", "E", "Missing publisher name."),
    "problem": ("problem", "E", "Problem."),
    "badcard": ("badcard", "D", "Declined."),
    "fraud": ("fraud", "E", "Fraud."),
    "pending": ("pending", "", ""),
    "success": ("success", "A", ""),
}
"""FinalStatus, sresp and MErrMsg for a resp-code (or a bare status)."""

ISSUER = {
    Issuer.DO_NOT_HONOUR: "05",
    Issuer.INSUFFICIENT_FUNDS: "51",
    Issuer.OVER_LIMIT: "61",
    Issuer.LOST: "41",
    Issuer.STOLEN: "43",
    Issuer.EXPIRED: "54",
    Issuer.WRONG_CODE: "N7",
    Issuer.NO_SUCH_ACCOUNT: "14",
    Issuer.CALL_ISSUER: "01",
    Issuer.UNAVAILABLE: "91",
    Issuer.SILENT: "P97",
    Issuer.FRAUD: "P50",
    Issuer.REVIEW: "pending",
}
"""resp-code for a test card."""

NOT_ECHOED = frozenset({"card-number", "card-cvv", "publisher-password", "orderID"})
SECRET = frozenset({"card-number", "card-cvv", "publisher-password"})
YEAR = 365 * DAY


class PlugnPay:
    """The Plug'n Pay server. `any_amount` lifts the test account's rule that 1500.00 is declined."""

    name = "plugnpay"
    content_type = "text/html"
    paths: tuple[str, ...] = (PATH,)
    credentials: ClassVar[Mapping[str, str]] = {"publisher": "pnpdemo", "password": "sandbox-secret"}

    def __init__(self, books: Books, credentials: Mapping[str, str], behaviour: Behaviour) -> None:
        self._books = books
        self._access = credentials
        self._behaviour = behaviour

    # -- reading

    def read(self, request: Request) -> Call | Page:
        if request.method != "POST":
            return Page(405, "text/plain", b"sandbox: POST a transaction\n", "Allow: POST\r\n")
        try:
            values = parse(request.body.decode("ascii"))
        except UnicodeDecodeError:
            return Page(400, "text/plain", b"sandbox: the body must be percent-encoded ASCII\n")
        get = values.get
        return Call(
            self.name,
            OPERATIONS.get(get("mode", ""), "other"),
            get("orderID", ""),
            card=get("card-number", ""),
            amount=minor_units(get("card-amount", "")),
            currency=(get("currency") or "usd").upper(),
            fields=values,
        )

    def target(self, call: Call) -> str:
        sale = self._sale(call)
        return sale.id if sale else ""

    # -- answering

    def answer(self, call: Call) -> str:
        get = call.fields.get
        if not get("publisher-name"):
            return self._finish(call, self._body(call, "P98"))
        access = self._access
        if get("publisher-name") != access["publisher"] or get("publisher-password") != access["password"]:
            return self._finish(call, self._body(call, "P91"))
        match call.operation:
            case "sale":
                return self._charge(call)
            case "void":
                body = self._void(call)
            case "capture":
                body = self._mark(call)
            case "refund" if get("mode") == "return":
                body = self._return(call)
            case "refund":
                return self._credit(call)
            case "inquiry":
                body = self._query(call)
            case _:
                body = self._body(call, "P94")
        return self._finish(call, body)

    def _finish(self, call: Call, body: str, duplicate: bool = False) -> str:
        password = encode(call.fields.get("publisher-password", ""))
        return f"{body}&publisher%2dpassword={password}&Duplicate={'yes' if duplicate else ''}&a=b"

    def _body(self, call: Call, code: str, message: str = "", order_id: str = "", extra: str = "") -> str:
        """The verdict and the echo of the request, without the password."""
        status, simple, words = VERDICTS.get(code, ("problem", "E", "Problem."))
        parts = [
            f"FinalStatus={status}&MStatus={status}&success={_SUCCESS.get(status, 'no')}",
            f"&orderID={encode(order_id or call.reference)}",
        ]
        if code not in _STATUSES:
            parts.append(f"&resp%2dcode={code}")
        if simple:
            parts.append(f"&sresp={simple}")
        if message or words:
            parts.append(f"&MErrMsg={encode(message or words)}")
        parts.append(extra)
        for name, value in call.fields.items():
            if name not in NOT_ECHOED:
                parts.append(f"&{encode(name)}={encode(value)}")
        if call.card:
            parts.append(f"&receiptcc={'X' * (len(call.card) - 4)}{encode(call.card[-4:])}")
        return "".join(parts)

    # -- sale

    def _charge(self, call: Call) -> str:
        if call.reference:
            earlier = self._books.find(self.name, call.reference)
            if earlier is not None:
                return self._finish(call, earlier.reply, duplicate=True)
            if not (call.reference.isascii() and call.reference.isdigit() and len(call.reference) < 21):
                return self._finish(call, self._body(call, "P58", "orderID must be at most 20 digits."))
        sale = self._new(call, call.reference or self._draw())
        self._decide_and_book(call, sale)
        return self._finish(call, sale.reply)

    def _new(self, call: Call, order_id: str) -> Transaction:
        authorize_only = call.operation == "sale" and call.fields.get("authtype", "") != "authpostauth"
        return Transaction(
            self.name,
            order_id,
            "authorization" if authorize_only else call.operation,
            order_id,
            card_hash=self._books.hash_card(call.card) if acceptable(call.card) else "",
            last4=call.card[-4:] if acceptable(call.card) else "",
            expiry=call.fields.get("card-exp", ""),
            amount=call.amount or 0,
            currency=call.currency,
            credential="recurring" if "recurring" in call.fields.get("transflags", "").split(",") else "",
            booked_at=self._books.clock.now(),
        )

    def _decide_and_book(self, call: Call, sale: Transaction) -> None:
        code, message = self._decide(call, sale)
        forced = call.force
        if forced is not None:
            message = forced.message
        status, _, words = VERDICTS.get(code, ("problem", "E", "Problem."))
        extra = ""
        if status in ("success", "pending"):
            sale.auth_code = "TSTAUT"
            sale.checks = _checks(call)
            avs, code_check = sale.checks.split(",")
            extra = f"&avs%2dcode={avs}&cvvresp={code_check}&amountcharged={encode(decimal(sale.amount))}"
            sale.state = State.AUTHORIZED if sale.operation == "authorization" else State.APPROVED
            if status == "pending":
                sale.state = State.REVIEW
        else:
            sale.state = State.REFUSED if status == "problem" else State.DECLINED
        extra = (
            f"&auth%2dcode={sale.auth_code}&auth%5fdate={moment(sale.booked_at):%Y%m%d}"
            f"&merchant={encode(self._access['publisher'])}"
            f"&amount={encode(f'{sale.currency.lower()} {decimal(sale.amount)}')}" + extra
        )
        if forced is not None:
            extra += "".join(f"&{encode(name)}={encode(value)}" for name, value in forced.fields.items())
        sale.code = code if code in _STATUSES else f"{status}/{code}"
        sale.message = message or words
        sale.reply = self._body(call, code, message, sale.id, extra)
        self._books.book(sale)

    def _decide(self, call: Call, sale: Transaction) -> tuple[str, str]:
        """The resp-code and, where it isn't the usual one, the message."""
        get = call.fields.get
        amount = get("card-amount", "")
        if call.amount is None or len(amount) > 10 or not call.amount:
            return "P58", "card-amount must be a decimal with two places, above zero."
        if len(call.currency) != 3 or not call.currency.isalpha() or call.currency in WITHOUT_TWO_DECIMALS:
            return "P58", "currency is not supported."
        if not get("card-name"):
            return "P58", "card-name is missing."
        if not sale.card_hash:
            return "P55", ""
        code = get("card-cvv", "")
        if code and not (code.isascii() and code.isdigit() and len(code) in (3, 4)):
            return "P56", ""
        if not _still_valid(sale.expiry, sale.booked_at):
            return "P57", ""
        if call.force is not None:
            return ("00" if call.force.code in ("0", "success") else call.force.code), call.force.message
        issuer = self._books.issuer_of(sale.card_hash)
        if issuer is not Issuer.APPROVES:
            return ISSUER[issuer], ""
        declines = declines_first(call.card)
        if declines and self._books.declines_of(sale.card_hash) < declines:
            return ISSUER[Issuer.INSUFFICIENT_FUNDS], ""
        if amount == "1500.00" and not self._behaviour.any_amount:
            return "200", ""
        return "00", ""

    def _draw(self) -> str:
        """An orderID of the gateway's own: date, time and a number, 19 digits."""
        return f"{moment(self._books.clock.now()):%Y%m%d%H%M%S}{secrets.randbelow(100_000):05d}"

    # -- administration

    def _sale(self, call: Call) -> Transaction | None:
        name = "prevorderid" if call.fields.get("mode") == "returnprev" else "orderID"
        found = self._books.find(self.name, call.fields.get(name, ""))
        return None if found is None or found.state in (State.DECLINED, State.REFUSED) else found

    def _administer(
        self, call: Call, sale: Transaction, changed: Transaction, state: State, amount: int, aux: str
    ) -> str:
        """Book what was done to `changed` under the sale's orderID, and word the answer as recordings show it."""
        new = self._operation(call, sale, amount)
        new.state = state
        pending = call.operation == "refund" and self._behaviour.returns_pending
        new.code = "pending" if pending else "success"
        new.message = aux
        new.original = changed.id
        extra = f"&aux%2dmsg={encode(aux)}"
        if call.operation == "void":
            extra += "&auth%2dmsg=Transaction%20may%20not%20be%20voided%2e"
        body = self._body(call, new.code, extra=extra)
        # Recorded administrative answers carry a date in MStatus and "problem" in success beside a good FinalStatus.
        body = body.replace(
            f"&MStatus={new.code}&success={_SUCCESS[new.code]}",
            f"&MStatus={moment(new.booked_at):%Y%m%d}&success=problem",
            1,
        )
        new.reply = body
        self._books.book(new, changed)
        return body

    def _operation(self, call: Call, sale: Transaction, amount: int) -> Transaction:
        return Transaction(
            self.name,
            f"{sale.id}.{len(self._books.by_reference(self.name, sale.id))}",
            call.operation,
            sale.id,
            original=sale.id,
            card_hash=sale.card_hash,
            last4=sale.last4,
            expiry=sale.expiry,
            amount=amount,
            currency=sale.currency,
            booked_at=self._books.clock.now(),
        )

    def _problem(self, call: Call, message: str, sale: Transaction | None = None) -> str:
        body = self._body(call, "problem", message)
        if sale is not None:
            refused = self._operation(call, sale, call.amount or 0)
            refused.code, refused.message, refused.reply = "problem", message, body
            self._books.book(refused)
        return body

    def _forced(self, call: Call, sale: Transaction | None) -> str | None:
        """The verdict that a scenario imposes on an administrative call, if it isn't a success."""
        if call.force is None or call.force.code in ("0", "success"):
            return None
        status = VERDICTS.get(call.force.code, ("problem", "E", ""))[0]
        body = self._body(
            call,
            call.force.code,
            call.force.message,
            extra="".join(f"&{encode(name)}={encode(value)}" for name, value in call.force.fields.items()),
        )
        if sale is not None:
            refused = self._operation(call, sale, call.amount or 0)
            refused.code, refused.message, refused.reply = status, call.force.message, body
            self._books.book(refused)
        return body

    def _void(self, call: Call) -> str:
        sale = self._sale(call)
        forced = self._forced(call, sale)
        if forced is not None:
            return forced
        if sale is None:
            return self._problem(call, "Order ID does not exist as a previous order. It may not be voided.")
        if call.amount is None:
            return self._problem(call, "card-amount is missing.", sale)
        latest = self._latest(sale)
        if call.amount not in (sale.amount, latest.amount):
            return self._problem(call, "A transaction may only be voided as a whole.", sale)
        if latest.state not in (State.APPROVED, State.AUTHORIZED, State.REVIEW):
            return self._problem(call, "Transaction may not be voided.", sale)
        latest.state = State.VOIDED
        if latest is not sale:
            sale.refunded -= latest.amount
        return self._administer(
            call, sale, latest, State.DONE, latest.amount, f"{sale.id} has been successfully voided."
        )

    def _latest(self, sale: Transaction) -> Transaction:
        """The latest operation of an orderID that still stands: a return if there is one, else the sale."""
        for one in reversed(self._books.by_reference(self.name, sale.id)):
            if one.operation == "refund" and one.state not in (State.REFUSED, State.VOIDED):
                return one
        return sale

    def _mark(self, call: Call) -> str:
        sale = self._sale(call)
        forced = self._forced(call, sale)
        if forced is not None:
            return forced
        amount = sale.amount if sale is not None and call.amount is None else call.amount
        if sale is None or sale.state != State.AUTHORIZED or not amount or amount > sale.amount:
            return self._body(call, "problem", "Transaction may not be marked.")
        sale.state, sale.operation, sale.amount = State.APPROVED, "sale", amount
        self._books.save(sale)
        return self._body(call, "success", extra=f"&aux%2dmsg={encode(f'{sale.id} has been marked.')}")

    def _return(self, call: Call) -> str:
        sale = self._sale(call)
        forced = self._forced(call, sale)
        if forced is not None:
            return forced
        if sale is None:
            return self._problem(call, "Order ID does not exist as a previous order. It may not be returned.")
        if call.amount is None or not call.amount:
            return self._problem(call, "card-amount is missing.", sale)
        if sale.state == State.VOIDED:
            return self._problem(call, "Transaction already voided. It may not be returned.", sale)
        if sale.state != State.SETTLED:
            return self._problem(call, "Transaction not yet settled. It may not be returned.", sale)
        if self._latest(sale) is not sale:
            return self._problem(call, "Transaction already returned.", sale)
        if call.amount > sale.amount - sale.refunded:
            return self._problem(call, "The return exceeds the amount of the order. It may not be returned.", sale)
        if call.currency != sale.currency:
            return self._problem(call, "The return must be in the currency of the order.", sale)
        if self._books.clock.now() - sale.booked_at > YEAR:
            return self._problem(call, "Transaction is over a year old. It may not be returned.", sale)
        sale.refunded += call.amount
        return self._administer(
            call, sale, sale, State.APPROVED, call.amount, f"{sale.id} has been successfully returned."
        )

    def _credit(self, call: Call) -> str:
        """`returnprev` and `newreturn`: a credit of its own, not linked to a sale; its orderID guards repeats."""
        if call.reference:
            earlier = self._books.find(self.name, call.reference)
            if earlier is not None:
                return self._finish(call, earlier.reply, duplicate=True)
        credit = self._new(call, call.reference or self._draw())
        if call.fields.get("mode") == "returnprev":
            previous = self._sale(call)
            if previous is None:
                message = "Order ID does not exist as a previous order. It may not be returned."
                return self._finish(call, self._problem(call, message))
            credit.original, credit.card_hash = previous.id, previous.card_hash
            credit.last4, credit.expiry = previous.last4, previous.expiry
        forced = call.force
        if forced is not None and forced.code not in ("0", "success"):
            credit.code, credit.message = forced.code, forced.message
            credit.reply = self._body(call, forced.code, forced.message, credit.id)
        elif not credit.amount or not credit.card_hash:
            credit.code, credit.message = "problem", "Required data is missing."
            credit.reply = self._body(call, "P58", order_id=credit.id)
        else:
            credit.code = "pending" if self._behaviour.returns_pending else "success"
            credit.state = State.APPROVED
            credit.reply = self._body(call, credit.code, order_id=credit.id)
        self._books.book(credit)
        return self._finish(call, credit.reply)

    # -- inquiry

    def _query(self, call: Call) -> str:
        get = call.fields.get
        forced = self._forced(call, None)
        if forced is not None:
            return forced
        start = get("startdate", "")
        if not re.fullmatch(r"\d{8}", start):
            return self._body(call, "problem", "startdate must be YYYYMMDD.")
        end = get("enddate", "") or "99999999"
        if call.reference:
            found = self._books.by_reference(self.name, call.reference)
        else:
            found = [one for one in self._books.search(gateway=self.name) if one.operation != "inquiry"]
        records = []
        for one in found:
            if start <= f"{moment(one.booked_at):%Y%m%d}" <= end:
                one.inquiries += 1
                records += [
                    record
                    for record in _history(one)
                    if get("operation", record["operation"]) == record["operation"]
                    and get("result", record["result"]) == record["result"]
                ]
        if not records:
            return self._body(call, "problem", "No records found")
        answer = self._body(call, "success")
        for number, record in enumerate(records, 1):
            text = "&".join(f"{encode(name)}={encode(value)}" for name, value in record.items())
            answer += f"&a{number:05d}={encode(text)}"
        return answer

    # -- for scenarios and the request log

    def foreign(self, call: Call, transaction_id: str) -> str:
        found = self._books.find(self.name, transaction_id)
        if found is None:
            raise LookupError(f"plugnpay has no transaction {transaction_id}")
        return self._finish(call, found.reply, duplicate=True)

    def verdict(self, code: str, message: str) -> dict[str, str]:
        status, simple, words = VERDICTS.get(code, ("problem", "E", "Problem."))
        fields = {"FinalStatus": status, "MStatus": status, "sresp": simple, "MErrMsg": message or words}
        return fields if code in _STATUSES else {**fields, "resp-code": code}

    def edit(self, body: str, changes: dict[str, str | None]) -> str:
        pairs = parse(body)
        for name, value in changes.items():
            if value is None:
                pairs.pop(name, None)
            else:
                pairs[name] = value
        return "&".join(f"{encode(name)}={encode(value)}" for name, value in pairs.items())

    def headers(self, call: Call) -> str:
        del call
        return ""

    def encode(self, body: str) -> bytes:
        return body.encode("latin-1") + b"\n"

    def decide(self, held: Transaction, accepted: bool) -> None:
        held.code = "success" if accepted else "fraud"

    def redact(self, body: bytes) -> str:
        pairs = []
        for pair in body.decode("latin-1").split("&"):
            name, equals, value = pair.partition("=")
            plain = unquote_plus(name).strip().lower().replace("_", "-")
            if plain in SECRET:
                value = masked(value) if plain == "card-number" else "*" * len(value)
            pairs.append(name + equals + value)
        return "&".join(pairs)


_SUCCESS = {"success": "yes", "pending": "pending", "problem": "problem"}
_STATUSES = frozenset({"problem", "badcard", "fraud", "pending", "success"})
_ENCODED = {code: f"%{code:02x}" for code in range(128) if not chr(code).isalnum()}


def parse(text: str) -> dict[str, str]:
    """The fields of a form: split first, then decoded; of a name sent twice the last counts."""
    values = {}
    for pair in text.split("&"):
        name, equals, value = pair.partition("=")
        if equals:
            if "%" in value or "+" in value:
                value = unquote_plus(value)
            values[unquote_plus(name) if "%" in name else name] = value
    return values


@lru_cache(maxsize=8192)
def encode(text: str) -> str:
    """Percent-encoding as this gateway writes it: everything but letters and digits, `-` and `.` too."""
    if text.isalnum() and text.isascii():
        return text
    if text.isascii():
        return text.translate(_ENCODED)
    return "".join(chr(byte) if byte < 128 and chr(byte).isalnum() else f"%{byte:02x}" for byte in text.encode())


def _still_valid(expiry: str, now: float) -> bool:
    if re.fullmatch(r"(0[1-9]|1[0-2])/\d\d", expiry, re.ASCII) is None:
        return False
    today = moment(now)
    return (2000 + int(expiry[3:]), int(expiry[:2])) >= (today.year, today.month)


def _checks(call: Call) -> str:
    """avs-code and cvvresp, by the rules that Payflow's pilot uses (this gateway documents none), comma between."""
    get = call.fields.get
    street, zip_code, code = get("card-address1", ""), get("card-zip", "")[:5], get("card-cvv", "")
    number = STREET_NUMBER.match(street)
    if number is None or int(number[0]) > 666:
        avs = "U"
    else:
        zip_matches = zip_code.isdigit() and int(zip_code) <= 50_000
        avs = ("Y" if zip_matches else "A") if int(number[0]) <= 333 else ("Z" if zip_matches else "N")
    if not code or int(code) == 0:
        return f"{avs},"
    return f"{avs},{'M' if int(code) <= 300 else 'N' if int(code) <= 600 else 'P'}"


def _history(one: Transaction) -> list[dict[str, str]]:
    """The records of one booked operation; a sale shows as `auth` and, once marked, as `postauth`."""
    status = one.code.partition("/")[0]
    record = {
        "trans_date": f"{moment(one.booked_at):%Y%m%d}",
        "operation": {"void": "void", "refund": "return"}.get(one.operation, "auth"),
        "FinalStatus": status,
        "result": status,
        "card-amount": decimal(one.amount),
        "currency": one.currency.lower(),
        "orderID": one.reference,
        "card-number": f"XXXXXXXXXXXX{one.last4}" if one.last4 else "",
        "card-exp": one.expiry,
        "MErrMsg": "" if status in ("success", "pending") else one.message,
        "auth-code": one.auth_code,
        "avs-code": one.checks.partition(",")[0],
    }
    if one.operation == "refund" and status == "success" and one.state != State.SETTLED:
        record["FinalStatus"] = record["result"] = "pending"
    if one.operation == "refund" and one.state == State.SETTLED:
        record["FinalStatus"] = record["result"] = "success"
    if one.operation != "sale" or one.state in (State.DECLINED, State.REFUSED, State.REVIEW):
        return [record]
    if one.state == State.VOIDED and not one.batch:
        return [record]
    swept = "success" if one.state == State.SETTLED else "pending"
    return [record, record | {"operation": "postauth", "FinalStatus": swept, "result": swept}]
