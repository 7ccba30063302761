"""The same story for every gateway: what must hold whatever its wire looks like. Each gateway's test inherits it.

The sandbox is a server of its own that keeps its own books: it is asked how often the card was charged.
"""

from __future__ import annotations

import itertools
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import ClassVar

import pytest

from gateways.contract import Gateway, Operation
from rules.outcomes import (
    Absent,
    Approved,
    DeclineClass,
    Declined,
    Failed,
    FailureClass,
    Found,
    NoAnswer,
    Outcome,
    RefundRefusal,
    Refused,
    Standing,
    Unknown,
    VoidRefusal,
)
from sandbox import client as sandbox_client
from sandbox.client import SandboxClient, SandboxProcess
from sandbox.scenarios import Step
from tests.gateways import builders

HURRIED = 0.4
"""Read time-out, in seconds, of the gateway that gives up while the sandbox holds a call."""

FUNDS, LOST, SILENT, REVIEW = "4000000000009995", "4000000000009987", "4000000000000119", "4000000000009235"
"""The sandbox's cards: declined for funds, lost, answered by nobody, held for review."""


@pytest.fixture(scope="module")
def process() -> Iterator[SandboxProcess]:
    """The sandbox, one for a module."""
    with sandbox_client.start(any_amount=True) as started:
        yield started


@pytest.fixture
def sandbox(process: SandboxProcess) -> SandboxClient:
    """The sandbox with empty books and no scenarios."""
    process.client.forget()
    return process.client


def _named(step: Step) -> str:
    return " ".join(str(value) for value in step.values())


class Story:
    """Inherit as `class Test…(Story)` and name the gateway."""

    name: ClassVar[str]
    pending_review: ClassVar[type[Outcome]]

    @pytest.fixture
    def gateway(self, process: SandboxProcess, sandbox: SandboxClient) -> Gateway:
        """The gateway, connected to the sandbox."""
        return builders.gateway(self.name, self._url(process))

    @pytest.fixture
    def hurried(self, process: SandboxProcess, sandbox: SandboxClient) -> Gateway:
        """The same gateway, out of patience at once."""
        return builders.gateway(self.name, self._url(process), read_timeout=HURRIED)

    def _url(self, process: SandboxProcess) -> str:
        return process.url(self.name)

    # -- a sale that is answered

    def test_approved(self, gateway: Gateway, sandbox: SandboxClient) -> None:
        """R8: an approved sale charged the card once, with what was asked."""
        outcome = gateway.sale(builders.sale()).result
        assert isinstance(outcome, Approved)
        assert outcome.amount_minor in (None, 11850)
        booked = sandbox.transaction(operation="sale")
        assert (booked.amount, booked.currency, booked.last4) == (11850, "USD", "1111")
        assert sandbox.card(builders.NUMBER).charged == 1

    def test_declined(self, gateway: Gateway, sandbox: SandboxClient) -> None:
        """R16: a soft and a hard decline, told apart by the issuer's code; neither charges."""
        for number, decline, code in (
            (FUNDS, DeclineClass.SOFT_DATED, "51"),
            (LOST, DeclineClass.HARD, "41"),
        ):
            reference = builders.REFERENCE + int(number[-4:])
            card = replace(builders.CARD, number=number)
            outcome = gateway.sale(builders.sale(reference=reference, card=card)).result
            assert isinstance(outcome, Declined)
            assert (outcome.decline, outcome.code) == (decline, code)
            sighting = gateway.inquire(builders.inquiry(reference=reference)).result
            assert isinstance(sighting, Found)
            assert isinstance(sighting.outcome, Declined)
            assert sighting.standing is Standing.NOTHING
            assert sandbox.card(number).charged == 0

    def test_issuer_silent(self, gateway: Gateway) -> None:
        """E3: an answer that the issuer did not answer is no decline."""
        card = replace(builders.CARD, number=SILENT)
        assert isinstance(gateway.sale(builders.sale(card=card)).result, Unknown)

    def test_held_for_review(self, gateway: Gateway) -> None:
        """B22, B79: what is held for review or pending is neither approved nor declined."""
        card = replace(builders.CARD, number=REVIEW)
        assert isinstance(gateway.sale(builders.sale(card=card)).result, self.pending_review)

    def test_wrong_password(self, process: SandboxProcess, sandbox: SandboxClient) -> None:
        """E3: refused credentials prove that nothing was done, and say that every call would fail."""
        key = {"payflow": "password", "plugnpay": "publisher_password"}[self.name]
        gateway = builders.gateway(self.name, self._url(process), config={key: "wrong"})
        outcome = gateway.sale(builders.sale()).result
        assert isinstance(outcome, Failed)
        assert outcome.failure is FailureClass.GATEWAY_SETUP
        assert isinstance(gateway.inquire(builders.inquiry()).result, NoAnswer)
        assert sandbox.card(builders.NUMBER).charged == 0

    def test_sent_twice(self, gateway: Gateway, sandbox: SandboxClient) -> None:
        """E4: the same reference sent again is the same bytes, the same answer and no second charge."""
        first, second = (gateway.sale(builders.sale()).result for _ in range(2))
        assert first == second
        assert isinstance(first, Approved)
        assert sandbox.card(builders.NUMBER).charged == 1
        sent = sandbox.requests(operation="sale")
        assert [request.body for request in sent] == [sent[0].body] * 2
        assert sent[0].headers == sent[1].headers

    def test_look_alikes(self, gateway: Gateway, sandbox: SandboxClient) -> None:
        """B11: two sales that look alike are two, since each has a reference of its own."""
        for reference in (builders.REFERENCE, builders.ANOTHER):
            assert isinstance(gateway.sale(builders.sale(reference=reference)).result, Approved)
        assert sandbox.card(builders.NUMBER).charged == 2

    def test_inquiry_finds(self, gateway: Gateway) -> None:
        """B13: a sale is found by our own reference alone."""
        approved = gateway.sale(builders.sale()).result
        assert isinstance(approved, Approved)
        sighting = gateway.inquire(builders.inquiry()).result
        assert isinstance(sighting, Found)
        assert isinstance(sighting.outcome, Approved)
        assert sighting.standing is Standing.UNSETTLED
        assert (sighting.outcome.transaction_id, sighting.outcome.amount_minor) == (approved.transaction_id, 11850)

    def test_inquiry_finds_nothing(self, gateway: Gateway, sandbox: SandboxClient) -> None:
        """E4: what was never sent is absent, and asking moves nothing."""
        assert isinstance(gateway.inquire(builders.inquiry()).result, Absent)
        assert sandbox.transactions() == []

    # -- a sale whose answer is lost after it was charged

    LOST_AFTER: ClassVar[Sequence[Step]] = (
        sandbox_client.reset(),
        sandbox_client.close(),
        sandbox_client.page(502),
        sandbox_client.page(500),
        sandbox_client.page(307),
        sandbox_client.page(200),
        sandbox_client.cut(),
        sandbox_client.cut(3, promise_all=False),
        sandbox_client.garble("noise"),
        sandbox_client.garble("utf-16"),
        sandbox_client.garble("nul"),
        sandbox_client.delay(1000 * 3 * HURRIED),
    )

    @pytest.mark.parametrize("step", LOST_AFTER, ids=_named)
    def test_answer_lost(self, hurried: Gateway, gateway: Gateway, sandbox: SandboxClient, step: Step) -> None:
        """E3, E4, B01: charged and not answered is unknown, is found by inquiry, and a re-send charges nothing."""
        scenario = sandbox.scenario(after=[step], operation="sale")
        outcome = hurried.sale(builders.sale()).result
        assert sandbox.applied(scenario) == 1
        assert isinstance(outcome, Unknown)
        sighting = gateway.inquire(builders.inquiry()).result
        assert isinstance(sighting, Found)
        assert isinstance(sighting.outcome, Approved)
        again = gateway.sale(builders.sale()).result
        assert isinstance(again, Approved)
        assert again.transaction_id == sighting.outcome.transaction_id
        assert sandbox.card(builders.NUMBER).charged == 1
        assert sandbox.decoy()[1] == []

    # -- a sale that is lost before it was charged

    @pytest.mark.parametrize(
        "step", [sandbox_client.reset(), sandbox_client.close(), sandbox_client.page(502)], ids=str
    )
    def test_request_lost(self, gateway: Gateway, sandbox: SandboxClient, step: Step) -> None:
        """E3, E4: lost on the way is unknown too; not found, the same reference is sent again and charges once."""
        sandbox.scenario(before=[step], operation="sale")
        assert isinstance(gateway.sale(builders.sale()).result, Unknown)
        assert isinstance(gateway.inquire(builders.inquiry()).result, Absent)
        assert sandbox.card(builders.NUMBER).charged == 0
        assert isinstance(gateway.sale(builders.sale()).result, Approved)
        assert sandbox.card(builders.NUMBER).charged == 1

    def test_late_first_send(self, hurried: Gateway, gateway: Gateway, sandbox: SandboxClient) -> None:
        """E4: a first send that arrives after the re-send is a duplicate and charges nothing."""
        sandbox.scenario(before=[sandbox_client.hold("late")], operation="sale")
        assert isinstance(hurried.sale(builders.sale()).result, Unknown)
        assert sandbox.wait_for("late").waiting == 1
        assert isinstance(gateway.sale(builders.sale()).result, Approved)
        sandbox.release("late")
        assert isinstance(gateway.sale(builders.sale()).result, Approved)
        assert sandbox.card(builders.NUMBER).charged == 1

    def test_dropped_kept_connection(self, gateway: Gateway, sandbox: SandboxClient) -> None:
        """E3: a kept connection that is dropped under a request proves nothing, and the next call opens another."""
        assert isinstance(gateway.sale(builders.sale()).result, Approved)
        scenario = sandbox.scenario(before=[sandbox_client.close()], operation="sale", reused=True)
        assert isinstance(gateway.sale(builders.sale(reference=builders.ANOTHER)).result, Unknown)
        assert sandbox.applied(scenario) == 1
        assert isinstance(gateway.sale(builders.sale(reference=builders.ANOTHER + 1)).result, Approved)
        assert sandbox.card(builders.NUMBER).charged == 2

    def test_nobody_listens(self) -> None:
        """E3: a refused connection proves that nothing was done; an inquiry says nothing."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        gateway = builders.gateway(self.name, url)
        calls: tuple[Callable[[], Outcome], ...] = (
            lambda: gateway.sale(builders.sale(send_by=time.monotonic() + 0.05)).result,
            lambda: gateway.void(builders.void(send_by=time.monotonic() + 0.05)).result,
            lambda: gateway.refund(builders.refund(send_by=time.monotonic() + 0.05)).result,
        )
        for call in calls:
            outcome = call()
            assert isinstance(outcome, Failed)
            assert outcome.failure is FailureClass.NOT_SENT
        assert isinstance(gateway.inquire(builders.inquiry(send_by=time.monotonic() + 0.05)).result, NoAnswer)

    def test_too_late_to_send(self, gateway: Gateway, sandbox: SandboxClient) -> None:
        """E1: past send_by nothing is sent."""
        outcome = gateway.sale(builders.sale(send_by=0.0)).result
        assert outcome == Failed(FailureClass.NOT_SENT, "send_by", "the time to send it by had passed")
        assert sandbox.request_count() == 0

    # -- answers about something else

    def test_another_sale_as_duplicate(self, gateway: Gateway, sandbox: SandboxClient) -> None:
        """B08: another customer's sale, given back as a duplicate, pays nothing here."""
        gateway.sale(builders.sale(amount_minor=7500))
        other = sandbox.transaction(operation="sale")
        sandbox.scenario(before=[sandbox_client.foreign(other.id)], operation="sale")
        outcome = gateway.sale(builders.sale(reference=builders.ANOTHER)).result
        assert isinstance(outcome, Unknown)
        assert outcome.code == "duplicate_of_other"
        assert isinstance(gateway.inquire(builders.inquiry(reference=builders.ANOTHER)).result, Absent)

    def test_approval_of_another_amount(self, gateway: Gateway, sandbox: SandboxClient) -> None:
        """R18: an approval of another amount says so."""
        field = {"payflow": "AMT", "plugnpay": "amountcharged"}[self.name]
        sandbox.scenario(after=[sandbox_client.edit({field: "11.85"})], operation="sale")
        outcome = gateway.sale(builders.sale()).result
        assert isinstance(outcome, Approved)
        assert outcome.amount_minor == 1185

    # -- void and refund

    def _sold(self, gateway: Gateway) -> str:
        outcome = gateway.sale(builders.sale()).result
        assert isinstance(outcome, Approved)
        return outcome.transaction_id

    def test_void(self, gateway: Gateway, sandbox: SandboxClient) -> None:
        """R11: an unsettled sale is voided, and both the sale and the void are found so."""
        sold = self._sold(gateway)
        assert isinstance(gateway.void(builders.void(sale_transaction_id=sold)).result, Approved)
        for asked in (builders.inquiry(transaction_id=sold), builders.inquiry(Operation.VOID)):
            sighting = gateway.inquire(replace(asked, sale_transaction_id=sold)).result
            assert isinstance(sighting, Found)
            assert isinstance(sighting.outcome, Approved)
            assert sighting.standing is Standing.VOIDED
        assert sandbox.card(builders.NUMBER).standing == 0

    def test_void_not_seen(self, gateway: Gateway) -> None:
        """E4: a void that never arrived is absent, while its sale stands."""
        sold = self._sold(gateway)
        asked = builders.inquiry(Operation.VOID, sale_transaction_id=sold)
        assert isinstance(gateway.inquire(asked).result, Absent)

    def test_void_lost(self, gateway: Gateway, sandbox: SandboxClient) -> None:
        """B24: a void whose answer is lost is unknown; the sale's standing then tells that it was made."""
        sold = self._sold(gateway)
        sandbox.scenario(after=[sandbox_client.reset()], operation="void")
        assert isinstance(gateway.void(builders.void(sale_transaction_id=sold)).result, Unknown)
        sighting = gateway.inquire(builders.inquiry(transaction_id=sold)).result
        assert isinstance(sighting, Found)
        assert sighting.standing is Standing.VOIDED

    def test_void_too_late_then_refund(self, gateway: Gateway, sandbox: SandboxClient) -> None:
        """R11, R17, B50: the void of a settled sale is refused, its standing confirms why, the refund follows once."""
        sold = self._sold(gateway)
        sandbox.settle()
        refused = gateway.void(builders.void(sale_transaction_id=sold)).result
        assert isinstance(refused, Refused)
        assert refused.refusal is VoidRefusal.CANNOT_VOID
        sighting = gateway.inquire(builders.inquiry(transaction_id=sold)).result
        assert isinstance(sighting, Found)
        assert sighting.standing is Standing.SETTLED
        asked = builders.refund(reference=builders.ANOTHER + 1, sale_transaction_id=sold)
        accepted = gateway.refund(asked).result
        assert isinstance(accepted, Approved)
        assert not accepted.final
        self._refund_becomes_final(gateway, sandbox, sold, asked.reference)
        assert sandbox.card(builders.NUMBER).net == 0

    def _refund_becomes_final(self, gateway: Gateway, sandbox: SandboxClient, sold: str, reference: int) -> None:
        for final in (False, True):
            asked = builders.inquiry(Operation.REFUND, reference=reference, sale_transaction_id=sold)
            sighting = gateway.inquire(asked).result
            assert isinstance(sighting, Found)
            assert isinstance(sighting.outcome, Approved)
            assert (sighting.outcome.final, sighting.standing) == (final, Standing.REFUNDED)
            assert sighting.refunded_minor == 11850
            sandbox.settle()

    def test_refund_sent_twice(self, gateway: Gateway, sandbox: SandboxClient) -> None:
        """B47: a refund whose answer was lost, sent again with its reference, returns the money once."""
        sold = self._sold(gateway)
        sandbox.settle()
        sandbox.scenario(after=[sandbox_client.close()], operation="refund")
        asked = builders.refund(sale_transaction_id=sold)
        assert isinstance(gateway.refund(asked).result, Unknown)
        again = gateway.refund(asked).result
        assert isinstance(again, Approved) or (isinstance(again, Refused) and again.refusal is RefundRefusal.ALREADY)
        sighting = gateway.inquire(builders.inquiry(Operation.REFUND, sale_transaction_id=sold)).result
        assert isinstance(sighting, Found)
        assert isinstance(sighting.outcome, Approved)
        assert sandbox.card(builders.NUMBER).net == 0

    def test_page_in_place_of_an_answer(self, gateway: Gateway, sandbox: SandboxClient) -> None:
        """B19: a maintenance page is no answer to a sale, a void, a refund or an inquiry."""
        html = "<html>Scheduled maintenance... approved vendors</html>"
        sandbox.scenario(before=[sandbox_client.page(200, html, "text/html")], times=0)
        outcomes = (
            gateway.sale(builders.sale()).result,
            gateway.void(builders.void()).result,
            gateway.refund(builders.refund()).result,
        )
        assert [type(outcome) for outcome in outcomes] == [Unknown] * 3
        assert isinstance(gateway.inquire(builders.inquiry()).result, NoAnswer)

    def test_every_small_amount_arrives(self, gateway: Gateway, sandbox: SandboxClient) -> None:
        """B26: amounts with awkward cents arrive at the gateway as they were asked."""
        numbers = itertools.count(builders.REFERENCE)
        amounts = [1, 9, 10, 99, 100, 101, 1999, 3570, 5705, 11016, 999_999_999]
        for amount_minor in amounts:
            asked = builders.sale(reference=next(numbers), amount_minor=amount_minor)
            assert isinstance(gateway.sale(asked).result, Approved)
        assert [booked.amount for booked in sandbox.transactions(operation="sale")] == amounts
