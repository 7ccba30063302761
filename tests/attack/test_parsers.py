"""What fuzzing and a look at every parser found, each as a story of its own (`make fuzz`, tests/fuzz)."""

from __future__ import annotations

import json
from datetime import UTC
from pathlib import Path
from typing import Any

import pytest

from gateways.contract import Operation
from gateways.exchange import Answered
from gateways.wire import Vocabulary, read_json, word
from producer.csv_rows import open_table
from reports import FORMS
from reports.file import look_over
from rules.errors import DefrayError, Fault
from rules.outcomes import Approved, Evidence, Found, Standing, Unknown
from rules.redaction import redact_text
from rules.webhooks import check_url
from tests.fuzz.replies import Replies
from tests.gateways import builders

CAPTURED: dict[str, Any] = {
    "id": "3C679366HH908993F",
    "status": "COMPLETED",
    "amount": {"currency_code": "USD", "value": "118.50"},
    "processor_response": {"response_code": "0000"},
}


def _answered(name: str, *replies: Answered) -> Any:
    made = builders.gateway(name, "http://127.0.0.1:1")
    given = Replies(list(replies), '{"access_token": "t", "expires_in": 9999}')
    for holder in (made, getattr(made, "_tokens", made)):
        vars(holder)["_http"] = given
    return made


@pytest.mark.parametrize("bent", ["COMP®®LETED", "COMPLÉTED", "ＣOMPLETED", 'COM"PLETED'])
def test_a_bent_word_is_not_the_word_it_resembles(bent: str) -> None:
    """E3: a status that is COMPLETED only once its odd letters are dropped or turned proves nothing."""
    asked = builders.capture(authorization_transaction_id="authorization:0AW2184448108334S")
    right = _answered("paypal", Answered(201, {}, json.dumps(CAPTURED))).capture(asked).result
    assert isinstance(right, Approved)
    reply = json.dumps({**CAPTURED, "status": bent})
    assert isinstance(_answered("paypal", Answered(201, {}, reply)).capture(asked).result, Unknown)


def test_a_bent_reason_is_no_reason() -> None:
    """E3: Authorize.Net's reason "¹" is not the reason 1, of an approval."""
    said = {"responseCode": "1", "transId": "60000000001", "messages": [{"code": "1"}]}
    outcomes = []
    for code in ("1", "¹"):
        answer = {**said, "messages": [{"code": code}]}
        reply = json.dumps({"transactionResponse": answer, "messages": {"resultCode": "Ok"}})
        outcomes.append(type(_answered("authorizenet", Answered(200, {}, reply)).sale(builders.sale()).result))
    assert outcomes == [Approved, Unknown]


def test_words() -> None:
    """E3: a word is itself or unreadable; blanks around it do not count."""
    assert (word(" OK ", 4), word("", 4), word("12345", 4), word("É", 4)) == ("OK", "", "unreadable", "unreadable")


def test_a_state_of_many_digits(tmp_path: Path) -> None:
    """B19: a state that is a number of 5,000 digits, or digits of another script, is unknown, and no error."""
    for state in ("9" * 5_000, "１０００"):
        reply = f"RESULT=0&ORIGRESULT=0&ORIGPNREF=A10A7C3E51D2&TRANSSTATE={state}"
        seen = _answered("payflow", Answered(200, {}, reply)).inquire(builders.inquiry(Operation.SALE)).result
        assert isinstance(seen, Found)
        assert (type(seen.outcome), seen.standing) == (Unknown, Standing.LIMBO)
        report = tmp_path / "report.csv"
        columns = "Transaction ID,Transaction Time,Type,Amount,Currency,Result Code,Transaction State"
        report.write_text(f"{columns}\nA10A7C3E51D2,03/01/2026 10:00:00,Sale,1.00,USD,0,{state}\n", "utf-8")
        list(look_over(report).lines(FORMS["payflow"], UTC))


def test_a_reply_that_is_long_names_only() -> None:
    """B19: a reply whose names are long and whose values are many takes the memory of the reply, not its square."""
    reply = json.dumps({"n" * 400_000: [0] * 200_000, "id": "1"})
    words = Vocabulary(frozenset(), frozenset({"id"}), frozenset())
    said, seen = read_json(Answered(200, {}, reply), words)
    assert isinstance(said, dict)
    assert seen == Evidence(200, {"id": "1"})


def test_a_header_whose_quotes_do_not_close(tmp_path: Path) -> None:
    """A CSV file that is one open quote is refused in words."""
    path = tmp_path / "given.csv"
    path.write_text('customer;method;amount;"A-1|aybe;;;\n')
    with pytest.raises(DefrayError, match="is no readable CSV"):
        list(open_table(path, {"customer": ()}, ["customer"], {}).rows())


@pytest.mark.parametrize("host", ["[2606:4700::1]%8443", "[fe80::1%25eth0]", "1.1.1.1\\", "a..b%2f", "[::1", "a:1:2"])
def test_an_address_that_is_read_in_two_ways(host: str) -> None:
    """An address whose host two programs may read otherwise is refused where it is registered."""
    assert isinstance(check_url(f"https://{host}/"), Fault)
    assert check_url("https://[2606:4700::1]:8443/x?y=%2f") == "https://[2606:4700::1]:8443/x?y=%2f"


def test_a_length_tag_goes_with_its_secret() -> None:
    """C3: how long a secret is, is not told; what was redacted once stays as it is."""
    once = redact_text("ACCT[16]=4111111111111111&PWD[14]=sandbox-secret&CVV2[3]=123&AMT[4]=1.00")
    assert once == "ACCT=***&PWD=***&CVV2=***&AMT[4]=1.00"
    assert redact_text(once) == once
