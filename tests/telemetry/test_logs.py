"""Log lines: one an event, with ids in fields, and nothing of a card in any of them."""

from __future__ import annotations

import io
import json
import logging
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.cards import card_number_spans
from telemetry import fields, logs, traces

PROJECT = Path(__file__).parents[2]
CARD = "4111111111111111"
FORMS: tuple[fields.Form, ...] = ("people", "json")


class Written:
    """A logger, and what it wrote in one form."""

    def __init__(self, form: fields.Form) -> None:
        self.stream = io.StringIO()
        handler = logs._Handler(self.stream)
        handler.setFormatter(logs.formatter(form))
        self.log = logging.Logger("defray.test")
        self.log.addHandler(handler)

    def lines(self) -> list[str]:
        """What was written, as whoever reads lines sees it."""
        return self.stream.getvalue().splitlines()

    def one(self) -> dict[str, Any]:
        """The only line, as JSON."""
        [line] = self.lines()
        read: dict[str, Any] = json.loads(line)
        return read


@pytest.fixture
def written() -> Written:
    """Lines as JSON."""
    return Written("json")


@pytest.fixture(autouse=True)
def _apart() -> Iterator[None]:
    """What one test binds, no other sees."""
    yield
    traces.leave()
    logs.about_nothing()


def test_ids_stand_in_fields_of_their_own(written: Written) -> None:
    """What a line is about can be looked for: by payment, batch, gateway transaction and trace."""
    span = traces.enter("POST", "server")
    logs.about(task="defray.charge", batch=3)
    written.log.info("%s at %s", "sale", "stripe", extra={"payment": 7, "transaction": 9, "outcome": "approved"})
    line = written.one()
    assert line["event"] == "sale at stripe"
    assert (line["payment"], line["transaction"], line["batch"], line["task"]) == (7, 9, 3, "defray.charge")
    assert (line["trace_id"], line["span_id"]) == (span.trace_id, span.span_id)
    assert (line["level"], line["logger"], line["timestamp"][-1]) == ("info", "defray.test", "Z")


def test_other_fields_are_left_out(written: Written) -> None:
    """C3: what is handed to a logger under a name that is not in the table is not written."""
    written.log.info("asked", extra={"payment": 7, "body": "ACCT=hush", "data": {"kwargs": "hush"}})
    assert "hush" not in written.stream.getvalue()
    assert set(written.one()) == {*fields.ALWAYS, "payment"}


def test_celerys_facts_are_fields(written: Written) -> None:
    """A task's line has its name, id and seconds; the digits of these are never taken for a card's."""
    told = {"id": "8d3f0c1c-0000-4000-8000-000000000000", "name": "defray.charge", "runtime": 0.4111111111111111}
    written.log.info("Task %(name)s[%(id)s] succeeded in %(runtime)ss", told, extra={"data": told})
    line = written.one()
    assert line["event"] == "Task defray.charge[8d3f0c1c-0000-4000-8000-000000000000] succeeded in 0.411s"
    assert (line["task"], line["task_id"], line["seconds"]) == ("defray.charge", told["id"], 0.411)


@pytest.mark.parametrize("form", FORMS)
def test_a_request_is_told_without_its_query(form: fields.Form) -> None:
    """C3: the server's line of a request has neither values nor names of its query."""
    written = Written(form)
    written.log.name = "uvicorn.access"
    written.log.info('%s - "%s %s HTTP/%s" %d', "127.0.0.1:1", "GET", "/console/find?q=hush&token=hush", "1.1", 200)
    said = written.stream.getvalue()
    assert "/console/find" in said
    assert "hush" not in said
    assert "token" not in said


def test_what_a_message_holds_begins_no_line(written: Written) -> None:
    """A line break in a message, of any kind, forges no second line."""
    breaks = "\r\n \v \f \x1c \x1d \x1e \x85 \u2028 \u2029"
    written.log.info('charged\n{"event": "forged"}%s', breaks)
    assert written.one()["event"] == f'charged\n{{"event": "forged"}}{breaks}'


def test_for_people_a_message_begins_no_line_either() -> None:
    """What follows a line break is set in, so that it is no line of its own."""
    written = Written("people")
    written.log.info("charged\n2026-11-25T14:20:20.063Z INFO forged\x85forged\u2028forged", extra={"payment": 7})
    first, *rest = written.lines()
    assert first.startswith("20")
    assert " INFO MainProcess defray.test: charged" in first
    assert len(rest) == 3
    assert all(line.startswith("    ") for line in rest)
    assert rest[-1].endswith("payment=7")


def test_a_terminal_obeys_no_message() -> None:
    """What would colour, erase or answer on the terminal of whoever reads a log is written as an escape."""
    written = Written("people")
    written.log.info("label \x1b[2J\x07\x9b1A")
    assert written.stream.getvalue().rstrip("\n").endswith("label \\x1b[2J\\x07\\x9b1A")


@pytest.mark.parametrize("form", FORMS)
def test_a_traceback_has_no_values_and_is_redacted(form: fields.Form) -> None:
    """B61: a traceback shows where, not with what; a number in an error's words is masked."""
    written = Written(form)
    try:
        hidden = f"local {CARD[::-1]}"
        raise ValueError(f"could not read ACCT={CARD}&CVV2=987", len(hidden))
    except ValueError:
        written.log.exception("it broke")
    said = written.stream.getvalue()
    assert "ValueError" in said
    assert "test_logs.py" in said
    assert "ACCT=***" in said
    for secret in (CARD, CARD[::-1], "987"):
        assert secret not in said
    if form == "json":
        assert "Traceback" in written.one()["exception"]


SEPARATORS = st.sampled_from(
    ["", " ", "-", ".", "\n", "\r\n", "\t", "\\n", "\\r", "\\t", "\\u0020", "\\x20", "\\\\n", "\u2028", "\xa0", "%20"]
)
DIGITS = st.sampled_from(["{}", "\\u00{:02x}", "\\x{:02x}", "\\\\u00{:02x}"])


@given(
    separator=SEPARATORS,
    digit=DIGITS,
    before=st.text(st.characters(exclude_categories=["Nd"]), max_size=5).map(lambda text: f"{text}x "),
    place=st.sampled_from(["event", "reason", "counts"]),
    form=st.sampled_from(FORMS),
)
def test_no_escape_hides_a_number(separator: str, digit: str, before: str, place: str, form: fields.Form) -> None:
    """C3: a card's number is masked however it is broken up or escaped, and JSON remains JSON."""
    written = Written(form)
    spelled = [one if digit == "{}" else digit.format(ord(one)) for one in CARD]
    text = before + separator.join("".join(spelled[first : first + 4]) for first in range(0, 16, 4)) + " end"
    extra: dict[str, object] = {} if place == "event" else {place: {text: text} if place == "counts" else text}
    written.log.info("%s", text if place == "event" else "charged", extra=extra)
    said = written.stream.getvalue()
    if form == "json":
        said = json.dumps(written.one(), ensure_ascii=False)
    for _ in range(5):
        assert not any(card_number_spans(" ".join(said.split()))), said
        said = logs._ESCAPE.sub(logs._unescaped, said)


@given(text=st.text(max_size=80), number=st.integers(), form=st.sampled_from(FORMS))
def test_any_text_is_one_line(text: str, number: int, form: fields.Form) -> None:
    """Whatever a message and its fields hold, JSON has one line that can be read, and people one that is not set in."""
    written = Written(form)
    written.log.warning("%s", text, extra={"payment": number, "reason": text})
    lines = written.lines()
    if form == "json":
        assert set(written.one()) >= {*fields.ALWAYS, "payment", "reason"}
    assert [line for line in lines if not line.startswith("    ")] == lines[:1]


def test_a_trace_is_never_masked(written: Written) -> None:
    """An id that has a card's number in it by chance stays whole: by it lines of several processes are found."""
    traces.enter("GET", "server", traces.parse(f"00-{CARD}{CARD}-{CARD}-01"))
    written.log.info("asked")
    assert written.one()["trace_id"] == CARD + CARD


def test_an_id_that_looks_like_a_card_is_masked(written: Written) -> None:
    """C3: a number in a field is masked as one in a text is; the line is still JSON."""
    written.log.info("asked", extra={"payment": int(CARD)})
    assert written.one()["payment"] == "************1111"

    written.stream.truncate(0)
    written.stream.seek(0)
    written.log.info("asked", extra={"seconds": float(CARD), "counts": {"some": float(CARD), "few": 0.12345}})
    assert CARD not in written.stream.getvalue()
    assert written.one()["counts"]["few"] == 0.123


@pytest.mark.parametrize("form", FORMS)
def test_a_line_that_cannot_be_written_is_not_spilled(form: fields.Form) -> None:
    """C3: the standard library would print the arguments of a line that it cannot format."""
    written = Written(form)
    written.log.info("%d of %d", f"ACCT={CARD}")  # noqa: PLE1206 - that is the mistake
    assert written.one()["event"].startswith("a log line of defray.test, line ")
    assert CARD not in written.stream.getvalue()


def test_what_nobody_caught_is_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """C3: an error that ends a process or a thread is logged like all others, not printed."""
    written = Written("json")
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    level = root.level
    logs.configure("INFO", "json")
    logging.captureWarnings(False)
    root.handlers[0].setStream(written.stream)  # type: ignore[attr-defined]

    def fail() -> None:
        raise ValueError(f"ACCT={CARD}")

    thread = threading.Thread(target=fail)
    thread.start()
    thread.join()
    try:
        fail()
    except ValueError as error:
        sys.excepthook(ValueError, error, error.__traceback__)
    root.setLevel(level)
    of_thread, of_process = map(json.loads, written.lines())
    assert (of_thread["event"], of_process["event"]) == ("a thread ended by an error", "ended by an error")
    assert "ACCT=***" in of_thread["exception"]
    assert CARD not in written.stream.getvalue()


def test_every_field_is_told() -> None:
    """docs/operations.md has the table of fields as the code has it."""
    assert fields.table() in (PROJECT / "docs/operations.md").read_text()
