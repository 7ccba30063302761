"""The redactor: card data nowhere, the rest readable (C3, B18, B61 to B63)."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass

import pytest

from rules.cards import Card, luhn_valid
from rules.errors import DefrayError
from rules.redaction import MASK, redact_mapping, redact_text, refuse_card_data

NUMBERS = ("4111111111111111", "5555555555554444", "378282246310005", "6011111111111117", "4222222222222")
LUHN_VALID_REFERENCE = next(str(n) for n in range(2 * 10**18, 2 * 10**18 + 100) if luhn_valid(str(n)))


def grouped(number: str, separator: str) -> str:
    """The number as people write it, in fours."""
    return separator.join(number[i : i + 4] for i in range(0, len(number), 4))


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("separator", ["", " ", "-", ".", "+", "%20", " - ", "\u00a0", "–"])
@pytest.mark.parametrize(
    "around", ["{}", "card {}.", "n={}&x=1", "2026-11-24 {} 12/29", "INV{}X", '{{"n":"{}"}}', ";{}=2912"]
)
def test_number_is_masked_to_its_last_four(number: str, separator: str, around: str) -> None:
    """B61, B63: a card number, however it is written, leaves only its last four digits."""
    masked = redact_text(around.format(grouped(number, separator)))
    assert f"************{number[-4:]}" in masked
    assert number[:6] not in masked.replace(separator, "") if separator else number[:6] not in masked


def test_overlapping_numbers_are_masked_as_one() -> None:
    """B61: where a number and a longer run both pass the check, nothing of either is left."""
    tail = next(f"{n:03}" for n in range(1_000) if luhn_valid(f"4111111111111111{n:03}"))
    assert redact_text(f"4111 1111 1111 1111 {tail} end") == f"************1{tail} end"


@pytest.mark.parametrize(
    "run",
    [
        "41111111111111112912123",  # number, expiry, code
        "4111111111111111123",
        "411111111111111112",
        "0004111111111111111",
        "3782822463100051234",
        "55555555555544447",
        "６０１１１１１１１１１１１１１７９９９",
    ],
)
def test_number_run_together_with_other_digits(run: str) -> None:
    """B61, C3: a number with an expiry or a code glued to it is masked whole: the last digits may be the code."""
    assert redact_text(f"track {run}.") == "track ************."


def test_few_innocent_runs_are_taken_for_glued_numbers() -> None:
    """C3: of numbers that pass no check digit, about one in twenty is masked because a card may be glued in it."""
    draw = random.Random(1)
    runs = (str(draw.randrange(10**18, 10**19)) for _ in range(2_000))
    innocent = [run for run in runs if not luhn_valid(run)]
    assert sum(redact_text(run) != run for run in innocent) < len(innocent) * 0.07


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ACCT[16]=4111111111111111&CVV2[3]=123&AMT=75.27", f"ACCT={MASK}&CVV2={MASK}&AMT=75.27"),
        ("PWD[7]=a&b=c d&USER=u", f"PWD={MASK}&USER=u"),
        (
            "card-number=4111111111111111&card-cvv=123&card-exp=12/29",
            f"card-number={MASK}&card-cvv={MASK}&card-exp={MASK}",
        ),
        ("publisher-password=x y,z&publisher-name=shop", f"publisher-password={MASK}&publisher-name=shop"),
        ("{'ACCT': '4', 'CVV2': '123', 'AMT': '1.00'}", f"{{'ACCT': '{MASK}', 'CVV2': '{MASK}', 'AMT': '1.00'}}"),
        ('{"cvv": 123, "amt": 5}', f'{{"cvv": {MASK}, "amt": 5}}'),
        (r'"{\"cvv2\": \"12\\\"3\", \"amt\": 1}"', rf'"{{\"cvv2\": \"{MASK}\", \"amt\": 1}}"'),
        ("[('CVV2', '123'), ('AMT', '1')]", f"[('CVV2', '{MASK}'), ('AMT', '1')]"),
        ("b'PWD=geheim&AMT=1'", f"b'PWD={MASK}&AMT=1'"),
        ("Authorization: Basic dXNlcjpwdw==\nHost: h", f"Authorization: {MASK}\nHost: h"),
        ("<cardCode>123</cardCode><amount>1</amount>", f"<cardCode>{MASK}</cardCode><amount>1</amount>"),
        ("security_code='987'", f"security_code='{MASK}'"),
        ("postgresql+psycopg://defray:pw@127.0.0.1/x", f"postgresql+psycopg://defray:{MASK}@127.0.0.1/x"),
        ("DEFRAY_PAYFLOW_PASSWORD=pw", f"DEFRAY_PAYFLOW_PASSWORD={MASK}"),
        ("transactionKey=abc&cardNumber=1", f"transactionKey={MASK}&cardNumber={MASK}"),
    ],
)
def test_secret_keys_lose_their_values(text: str, expected: str) -> None:
    """B18: the value of a key with a secret name is masked, with and without a length tag, in every notation."""
    assert redact_text(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "batch 7: 400 of 1,000, charged 391, declined 9",
        "RESULT=0&PNREF=V53A17230645&RESPMSG=Approved&AUTHCODE=010101",
        "task 3f2504e0-4f89-41d3-9a0c-0305e82c3301 succeeded in 0.5s",
        "2026-11-24 23:41:08 INFO 127.0.0.1:5432",
        "invoice 00012345 of customer 17: 1,250.00 USD",
        "4111111111111112",
    ],
)
def test_the_rest_stays_readable(text: str) -> None:
    """C3: what is no card data passes untouched."""
    assert redact_text(text) == text


def test_mapping_keeps_the_allowed_fields_only() -> None:
    """C3: evidence is kept by allow-list, and allowed fields still pass the redactor."""
    said = {"RESULT": "12", "RESPMSG": "Declined 4111 1111 1111 1111", "ACCT": "4111", "NAME": "R & D", "IAVS": None}
    assert redact_mapping(said, frozenset({"RESULT", "RESPMSG", "IAVS"})) == {
        "RESULT": "12",
        "RESPMSG": "Declined ************1111",
        "ACCT": MASK,
        "NAME": MASK,
        "IAVS": "",
    }


def test_reference_stays_readable_in_its_own_field_only() -> None:
    """E2, C3: a merchant reference that passes Luhn by chance is kept in a reference field, nothing else is."""
    fields = {"orderID": LUHN_VALID_REFERENCE, "other": LUHN_VALID_REFERENCE}
    kept = redact_mapping(fields, frozenset({"other"}), references=frozenset({"orderID"}))
    assert kept == {"orderID": LUHN_VALID_REFERENCE, "other": "************" + LUHN_VALID_REFERENCE[-4:]}
    for stranger in ("4111111111111111", "6304000000000000000", f"x{LUHN_VALID_REFERENCE}"):
        masked = redact_mapping({"orderID": stranger}, frozenset(), references=frozenset({"orderID"}))["orderID"]
        assert masked != stranger or not luhn_valid(stranger)


def test_mapping_can_be_stored_whatever_a_gateway_says() -> None:
    """Evidence refuses nothing: NUL and lone surrogates are replaced, long values are cut, keys are redacted too."""
    kept = redact_mapping({"a": "x\0y\ud800z", "b": "w" * 100_000, "4111111111111111": "v"}, frozenset({"a", "b"}))
    assert kept["a"] == "x\ufffdy\ufffdz"
    assert len(kept["b"]) == 1_000
    assert kept["************1111"] == MASK


@dataclass
class Wrapper:
    """A value that hides what it holds from `repr`."""

    inside: object

    def __repr__(self) -> str:
        return "Wrapper()"


@pytest.mark.parametrize(
    "value",
    [
        "4111111111111111",
        "pay with 4111 1111 1111 1111 please",
        "5555-5555-5555-4444",
        4111111111111111,
        4111111111111111.0,
        b"4111111111111111",
        {"card": {"n": ["378282246310005"]}},
        {"4111111111111111": 1},
        ({1, 2}, {"x": "4111111111111111"}),
        Card(number="4111111111111111", exp_month=12, exp_year=2029),
        [Card(number="0", exp_month=12, exp_year=2029, security_code="123")],
        [Wrapper({"n": "4111111111111111"})],
        ValueError("4111111111111111"),
    ],
)
def test_task_values_with_card_data_are_refused(value: object) -> None:
    """B62: args, kwargs, results that hold a card number at any depth are refused; the error does not show it."""
    with pytest.raises(DefrayError) as refused:
        refuse_card_data(value)
    assert "1111" not in str(refused.value)
    assert "0005" not in str(refused.value)


@pytest.mark.parametrize(
    "value",
    [
        [1, 2, 3],
        {"payment_ids": list(range(10**6, 10**6 + 50)), "batch": 7},
        "batch 7: 400 of 1,000, charged 391, declined 9",
        "card_AbCdEfGhIjKlMnOpQrStUv",
        "2026-11-24 call 555-0100-1234",
        None,
        True,
        0.25,
    ],
)
def test_task_values_of_ids_pass(value: object) -> None:
    """B62: ids, tokens and sentences pass the guard."""
    refuse_card_data(value)


def test_redaction_takes_linear_time() -> None:
    """C3: a hostile answer of a megabyte does not hang the redactor."""
    rng = random.Random(1)
    hostile = [
        "a-" * 100_000,
        "1 " * 100_000,
        "password" * 20_000,
        "cvv='" * 40_000,
        "".join(rng.choice("0123456789 -.&=") for _ in range(200_000)),
    ]
    started = time.process_time()
    for text in hostile:
        redact_text(text)
    assert time.process_time() - started < 10
