"""The search of the canary tests is one that can fail: each form of a planted number or code is found."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable

import pytest

from tests.canary.search import found

NUMBER, CODE = "4929471130285867", "7391"
PLANTED = f'{{"acct": "{NUMBER}", "cvv": "{CODE}"}}'


def escaped(text: str) -> bytes:
    return "".join(f"\\u{ord(letter):04x}" for letter in text).encode()


def percent(text: str) -> bytes:
    return "".join(f"%{byte:02X}" for byte in text.encode()).encode()


@pytest.mark.parametrize(
    ("form", "written"),
    [
        ("plain", str.encode),
        ("utf-16", lambda text: text.encode("utf-16-le")),
        ("utf-16", lambda text: text.encode("utf-16-be")),
        ("url-encoded", percent),
        ("JSON-escaped", escaped),
        ("hex", lambda text: text.encode().hex().encode()),
        ("hex", lambda text: b"a" + text.encode().hex().upper().encode()),
        ("base64", lambda text: base64.b64encode(text.encode())),
        ("base64", lambda text: base64.b64encode(b"-" + text.encode())),
        ("base64", lambda text: base64.urlsafe_b64encode(b"--" + text.encode())),
        ("base64", lambda text: b"x" + base64.b64encode(text.encode())),
    ],
)
@pytest.mark.parametrize("around", [b"", b"of %s 1 \\u00e9 \0 \xff"])
def test_each_form(form: str, written: Callable[[str], bytes], around: bytes) -> None:
    """C3: a number and a code are found in each form in which a process may write them."""
    data = around + b" " + written(PLANTED) + b" " + around
    assert {f"{NUMBER[-4:]}: {form}", f"{CODE}: {form}"} <= set(found(data, [NUMBER, CODE]))
    assert found(data, ["4929471130285868", "7392"]) == []


@pytest.mark.parametrize(
    "written",
    [
        "4929 4711 3028 5867",
        "4929-4711-3028-5867",
        "card=4929+4711+3028+5867",
        f"at=9{NUMBER}0",
    ],
)
def test_groups(written: str) -> None:
    """C3: a number in groups, as people and forms write it, or beside other digits."""
    assert found(written.encode(), [NUMBER]) == [f"{NUMBER[-4:]}: plain"]


@pytest.mark.parametrize(
    "written",
    [
        f"CVV2[4]={CODE}",
        f"card-cvv={CODE}&x=1",
        f"<cardCode>{CODE}</cardCode>",
        json.dumps(json.dumps({"said": CODE})),
        f"the security code: {CODE}",
        repr((CODE,)),
    ],
)
def test_codes(written: str) -> None:
    """C3: a code behind a field's name or in quotes, also where those were quoted again."""
    assert found(written.encode(), [CODE]) == [f"{CODE}: plain"]


@pytest.mark.parametrize(
    "written", [f"payment {CODE}", '{"id": 7391}', "12:01:22,7391", "", "cvv=73915", "ab" * 20_000]
)
def test_not_everything(written: str) -> None:
    """A number of its own that looks like a code, and what is no card, is not taken for one."""
    assert found(written.encode(), [NUMBER, CODE]) == []
