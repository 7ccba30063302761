"""PayPal against the sandbox: the shared story, and what only PayPal does."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
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
    Held,
    NoAnswer,
    Outcome,
    RefundRefusal,
    Refused,
    Standing,
    Unknown,
    Unwell,
    VoidRefusal,
)
from sandbox import client as sandbox_client
from sandbox.client import SandboxClient
from sandbox.scenarios import Step
from tests.gateways import builders
from tests.gateways.story import FUNDS, LOST, REVIEW, Changes, Story, process, sandbox

__all__ = ["process", "sandbox"]

CAPTURE = "purchase_units.0.payments.captures.0"
RESERVED = "authorization:7WH94211LK834082R"
LIMITED = '{"name": "RATE_LIMIT_REACHED", "message": "Too many requests."}'
ORDER_ID = f"{builders.REFERENCE}-o"
CHARGING = ("sale", "void", "refund")


class TestPayPal(Story):
    """The shared story. A call without a token is not sent, and an order moves nothing: both prove more than usual."""

    name = "paypal"
    wrong_credentials: ClassVar[Mapping[str, str]] = {"client_secret": "wrong"}
    unknown_id = "7WH94211LK834082R"
    other_amount: ClassVar[Changes] = {f"{CAPTURE}.amount.value": "11.85"}
    other_currency: ClassVar[Changes | None] = {f"{CAPTURE}.amount.currency_code": "CAD"}
    other_reference: ClassVar[Changes | None] = {f"{CAPTURE}.invoice_id": "2611240000010499999"}
    without = ("id", f"{CAPTURE}.id", f"{CAPTURE}.status", f"{CAPTURE}.amount")
    pending_review: ClassVar[type[Outcome] | None] = Held
    soft_decline: ClassVar[tuple[str, DeclineClass, str]] = (FUNDS, DeclineClass.SOFT_DATED, "5120")
    hard_decline: ClassVar[tuple[str, DeclineClass, str]] = (LOST, DeclineClass.HARD, "9520")
    busy: ClassVar[Step] = sandbox_client.page(429, LIMITED, "application/json", {"Retry-After": "7"})
    busy_proves = True
    refund_is_final = True

    def _movements(self, gateway: Gateway, sold: str, send_by: float | None = None) -> list[Outcome]:
        """As in the story, with the void of an authorization: that of a sale is refused unsent."""
        by = builders.soon() if send_by is None else send_by
        number = builders.ANOTHER
        return [
            gateway.sale(builders.sale(reference=number, send_by=by)).result,
            gateway.void(builders.void(reference=number + 1, sale_transaction_id=RESERVED, send_by=by)).result,
            gateway.refund(builders.refund(reference=number + 2, sale_transaction_id=sold, send_by=by)).result,
        ]

    # -- the story's cases that end otherwise here

    def test_nobody_listens(self) -> None:
        """E3: a refused connection proves that nothing was done; an inquiry says nothing."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        gateway = builders.gateway(self.name, url)
        for outcome in self._movements(gateway, self.unknown_id, send_by=time.monotonic() + 0.05):
            assert isinstance(outcome, Failed)
            assert outcome.failure is FailureClass.NOT_SENT
        assert isinstance(gateway.inquire(builders.inquiry(send_by=time.monotonic() + 0.05)).result, NoAnswer)
        assert isinstance(gateway.health(time.monotonic() + 0.05).result, Unwell)

    def test_inquiry_finds_nothing(self, gateway: Gateway, sandbox: SandboxClient) -> None:
        """E4: what was never sent is absent; asking opens its order, once, which moves nothing."""
        for _ in range(2):
            assert isinstance(gateway.inquire(builders.inquiry()).result, Absent)
        assert [booked.operation for booked in sandbox.transactions()] == ["other"]
        assert isinstance(gateway.sale(builders.sale()).result, Approved)
        assert sandbox.card(builders.NUMBER).charged == 1

    @pytest.mark.parametrize("step", [sandbox_client.page(307), sandbox_client.page(200)], ids=str)
    def test_no_token_no_call(self, gateway: Gateway, sandbox: SandboxClient, step: Step) -> None:
        """E3: a redirect or a page in place of a token proves that nothing was sent, whatever was meant."""
        sandbox.scenario(before=[step], times=0)
        for outcome in self._movements(gateway, self.unknown_id):
            assert isinstance(outcome, Failed)
            assert outcome.failure is FailureClass.BUSY
        assert isinstance(gateway.inquire(builders.inquiry()).result, NoAnswer)
        health = gateway.health(builders.soon()).result
        assert isinstance(health, Unwell)
        assert not health.setup
        assert {request.path for request in sandbox.requests()} == {"/paypal/v1/oauth2/token"}
        assert sandbox.decoy()[1] == []

    def test_redirect(self, gateway: Gateway, sandbox: SandboxClient) -> None:
        """E3: no call follows a redirect: nothing of it arrives at the other host."""
        for operation in (*CHARGING, "inquiry"):
            sandbox.scenario(before=[sandbox_client.page(307)], operation=operation, times=0)
        assert [type(outcome) for outcome in self._movements(gateway, self.unknown_id)] == [Unknown] * 3
        assert isinstance(gateway.inquire(builders.inquiry()).result, NoAnswer)
        assert sandbox.decoy()[1] == []

    def test_page_in_place_of_an_answer(self, gateway: Gateway, sandbox: SandboxClient) -> None:
        """B19: a maintenance page is no answer to a sale, a void, a refund or an inquiry."""
        html = "<html>Scheduled maintenance... approved vendors</html>"
        for operation in (*CHARGING, "inquiry"):
            sandbox.scenario(before=[sandbox_client.page(200, html, "text/html")], operation=operation, times=0)
        assert [type(outcome) for outcome in self._movements(gateway, self.unknown_id)] == [Unknown] * 3
        assert isinstance(gateway.inquire(builders.inquiry()).result, NoAnswer)

    # -- two steps

    @pytest.mark.parametrize(
        ("step", "failure"),
        [
            (sandbox_client.reset(), FailureClass.BUSY),
            (sandbox_client.page(502), FailureClass.BUSY),
            (sandbox_client.page(307), FailureClass.BUSY),
            (sandbox_client.answer("PREVIOUS_REQUEST_IN_PROGRESS"), FailureClass.BUSY),
            (sandbox_client.answer("INTERNAL_SERVER_ERROR"), FailureClass.BUSY),
            (sandbox_client.answer("INVALID_REQUEST"), FailureClass.REFUSED),
            (sandbox_client.answer("PERMISSION_DENIED"), FailureClass.GATEWAY_SETUP),
        ],
        ids=str,
    )
    def test_no_order_no_charge(
        self, gateway: Gateway, sandbox: SandboxClient, step: Step, failure: FailureClass
    ) -> None:
        """E3: an order that could not be opened proves that nothing was charged: no card was sent."""
        sandbox.scenario(before=[step], request_id=ORDER_ID)
        outcome = gateway.sale(builders.sale()).result
        assert isinstance(outcome, Failed)
        assert outcome.failure is failure
        assert sandbox.requests(operation="sale") == []
        assert isinstance(gateway.sale(builders.sale()).result, Approved)
        assert sandbox.card(builders.NUMBER).charged == 1

    def test_too_late_for_the_card(self, gateway: Gateway, sandbox: SandboxClient) -> None:
        """E1: send_by holds for each step: an order that took too long to open is not captured."""
        self._sold(gateway)
        sandbox.scenario(after=[sandbox_client.delay(300)], request_id=f"{builders.ANOTHER}-o")
        late = builders.sale(reference=builders.ANOTHER, send_by=time.monotonic() + 0.25)
        assert gateway.sale(late).result == Failed(
            FailureClass.NOT_SENT, "send_by", "the time to send it by had passed"
        )
        assert len(sandbox.transactions(operation="other")) == 2
        assert sandbox.card(builders.NUMBER).charged == 1

    def test_order_whose_answer_is_lost(self, gateway: Gateway, sandbox: SandboxClient) -> None:
        """E4: an order that was opened and not answered is the one that the next send captures."""
        sandbox.scenario(after=[sandbox_client.close()], request_id=ORDER_ID)
        assert isinstance(gateway.sale(builders.sale()).result, Failed)
        assert isinstance(gateway.sale(builders.sale()).result, Approved)
        assert len(sandbox.transactions(operation="other")) == 1

    def test_lost_sale_is_found_by_its_order(self, gateway: Gateway, sandbox: SandboxClient) -> None:
        """E4, B13: a lost answer leaves the order's id, marked as such, and by it the capture is found days later."""
        sandbox.scenario(after=[sandbox_client.reset()], operation="sale")
        lost = gateway.sale(builders.sale()).result
        assert isinstance(lost, Unknown)
        assert lost.transaction_id == f"order:{sandbox.transaction(operation='other').id}"
        sandbox.advance(3 * 24 * 3600)
        asked = builders.inquiry(transaction_id=lost.transaction_id, started_at=datetime.now(UTC) - timedelta(days=3))
        sighting = gateway.inquire(asked).result
        assert isinstance(sighting, Found)
        assert isinstance(sighting.outcome, Approved)
        assert sighting.outcome.transaction_id == sandbox.transaction(operation="sale").id

    def test_reversal_by_the_order(self, gateway: Gateway, sandbox: SandboxClient) -> None:
        """R11, R17: where a person said that a lost sale was approved, its order tells what to void and refund."""
        sandbox.scenario(after=[sandbox_client.reset()], operation="sale")
        lost = gateway.sale(builders.sale()).result
        assert isinstance(lost, Unknown)
        refused = gateway.void(builders.void(sale_transaction_id=lost.transaction_id)).result
        assert isinstance(refused, Refused)
        assert refused.refusal is VoidRefusal.CANNOT_VOID
        asked = builders.inquiry(Operation.REFUND, sale_transaction_id=lost.transaction_id)
        assert isinstance(gateway.inquire(asked).result, Absent)
        assert isinstance(gateway.refund(builders.refund(sale_transaction_id=lost.transaction_id)).result, Approved)
        sighting = gateway.inquire(asked).result
        assert isinstance(sighting, Found)
        assert isinstance(sighting.outcome, Approved)
        assert sandbox.card(builders.NUMBER).net == 0

    def test_void_by_the_order(self, gateway: Gateway, sandbox: SandboxClient) -> None:
        """R11: an authorization whose answer was lost is voided by its order."""
        sandbox.scenario(after=[sandbox_client.reset()], operation="authorization")
        lost = gateway.authorize(builders.sale()).result
        assert isinstance(lost, Unknown)
        assert isinstance(gateway.void(builders.void(sale_transaction_id=lost.transaction_id)).result, Approved)
        assert sandbox.transaction(operation="authorization").state == "voided"

    def test_too_old_to_find(self, gateway: Gateway, sandbox: SandboxClient) -> None:
        """E4: without any id, beyond the hours of a request id, nothing is asked: another order would be made."""
        old = datetime.now(UTC) - timedelta(hours=5, minutes=51)
        sighting = gateway.inquire(builders.inquiry(started_at=old)).result
        assert isinstance(sighting, NoAnswer)
        assert sighting.code == "too_old"
        assert sandbox.request_count() == 0
        young = datetime.now(UTC) - timedelta(hours=5, minutes=49)
        assert isinstance(gateway.inquire(builders.inquiry(started_at=young)).result, Absent)

    def test_order_that_died(self, gateway: Gateway, sandbox: SandboxClient) -> None:
        """E4: an order that ended unpaid is for a person to look at, and its capture charges nothing."""
        assert isinstance(gateway.inquire(builders.inquiry()).result, Absent)
        sandbox.advance(4 * 3600)
        assert isinstance(gateway.inquire(builders.inquiry()).result, NoAnswer)
        outcome = gateway.sale(builders.sale()).result
        assert isinstance(outcome, Failed)
        assert (outcome.failure, outcome.code) == (FailureClass.REFUSED, "ORDER_EXPIRED")
        assert sandbox.card(builders.NUMBER).charged == 0

    # -- tokens

    def test_one_token_for_many_calls(self, gateway: Gateway, sandbox: SandboxClient) -> None:
        """Calls at once share one token, and none of them fetches another."""
        with ThreadPoolExecutor(4) as threads:
            sales = [builders.sale(reference=builders.REFERENCE + number) for number in range(4)]
            outcomes = list(threads.map(lambda sale: gateway.sale(sale).result, sales))
        assert all(isinstance(outcome, Approved) for outcome in outcomes)
        assert self._tokens(sandbox) == 1

    def test_token_that_ended(self, gateway: Gateway, sandbox: SandboxClient) -> None:
        """E3: a call that is answered 401 did nothing: it is sent once more with a new token, and charges once."""
        self._sold(gateway)
        sandbox.advance(10 * 3600)
        assert isinstance(gateway.sale(builders.sale(reference=builders.ANOTHER)).result, Approved)
        assert self._tokens(sandbox) == 2
        assert sandbox.card(builders.NUMBER).charged == 2

    def test_token_refused_twice(self, gateway: Gateway, sandbox: SandboxClient) -> None:
        """E3: a call that is refused with a new token too fails as set-up, after two sends."""
        sandbox.scenario(before=[sandbox_client.answer("AUTHENTICATION_FAILURE")], operation="refund", times=0)
        outcome = gateway.refund(builders.refund(sale_transaction_id=self.unknown_id)).result
        assert isinstance(outcome, Failed)
        assert outcome.failure is FailureClass.GATEWAY_SETUP
        assert len(sandbox.requests(operation="refund")) == 2

    def _tokens(self, sandbox: SandboxClient) -> int:
        return sum(request.path == "/paypal/v1/oauth2/token" for request in sandbox.requests())

    # -- verdicts

    def test_names_that_decline(self, gateway: Gateway, sandbox: SandboxClient) -> None:
        """R16: PayPal's own names for tests decline, though the order says COMPLETED."""
        card = replace(builders.CARD, name="CCREJECT-EC", number="4012888888881881")
        outcome = gateway.sale(builders.sale(card=card)).result
        assert isinstance(outcome, Declined)
        assert (outcome.decline, outcome.code) == (DeclineClass.NEW_DATA, "5400")
        assert sandbox.card(card.number).charged == 0

    @pytest.mark.parametrize(("decision", "standing"), [("accept", Standing.SETTLED), ("reject", Standing.NOTHING)])
    def test_review_decided(self, gateway: Gateway, sandbox: SandboxClient, decision: str, standing: Standing) -> None:
        """B22: what was held is found decided by its capture's id."""
        held = gateway.sale(builders.sale(card=replace(builders.CARD, number=REVIEW))).result
        assert isinstance(held, Held)
        waiting = gateway.inquire(builders.inquiry(transaction_id=held.transaction_id)).result
        assert isinstance(waiting, Found)
        assert (type(waiting.outcome), waiting.standing) == (Held, Standing.LIMBO)
        refused = gateway.refund(builders.refund(sale_transaction_id=held.transaction_id)).result
        assert isinstance(refused, Refused)
        assert refused.refusal is RefundRefusal.NOT_YET
        assert sandbox.review(decision) == 1
        sighting = gateway.inquire(builders.inquiry(transaction_id=held.transaction_id)).result
        assert isinstance(sighting, Found)
        assert sighting.standing is standing

    def test_failed_capture(self, gateway: Gateway, sandbox: SandboxClient) -> None:
        """E3: a capture that failed is not done after one look."""
        sandbox.scenario(before=[sandbox_client.answer("FAILED")], operation="sale")
        assert isinstance(gateway.sale(builders.sale()).result, Unknown)
        sighting = gateway.inquire(builders.inquiry()).result
        assert isinstance(sighting, Found)
        assert (type(sighting.outcome), sighting.standing) == (Failed, Standing.NOTHING)

    def test_payer_must_act(self, gateway: Gateway, sandbox: SandboxClient) -> None:
        """R16: an order that waits for the payer is a decline another way; nothing captures it any more."""
        sandbox.scenario(before=[sandbox_client.answer("PAYER_ACTION_REQUIRED")], operation="sale")
        outcome = gateway.sale(builders.sale()).result
        assert isinstance(outcome, Declined)
        assert (outcome.decline, outcome.code) == (DeclineClass.OTHER_WAY, "PAYER_ACTION_REQUIRED")
        sighting = gateway.inquire(builders.inquiry()).result
        assert isinstance(sighting, Found)
        assert (type(sighting.outcome), sighting.standing) == (Declined, Standing.NOTHING)

    # -- voids and refunds

    def test_void_of_a_sale_is_not_sent(self, gateway: Gateway, sandbox: SandboxClient) -> None:
        """R11: a capture has no void: refused without a call, and the refund follows at once."""
        sold = self._sold(gateway)
        before = sandbox.request_count()
        refused = gateway.void(builders.void(sale_transaction_id=sold)).result
        assert isinstance(refused, Refused)
        assert refused.refusal is VoidRefusal.CANNOT_VOID
        assert sandbox.request_count() == before
        asked = builders.refund(reference=builders.ANOTHER + 1, sale_transaction_id=sold)
        assert isinstance(gateway.refund(asked).result, Approved)
        assert self._standing(gateway, sold) is Standing.REFUNDED

    def test_void_of_a_captured_authorization(self, gateway: Gateway, sandbox: SandboxClient) -> None:
        """R11: what was captured is not voided, and a second void is a yes."""
        reserved = gateway.authorize(builders.sale()).result
        assert isinstance(reserved, Approved)
        asked = builders.capture(authorization_transaction_id=reserved.transaction_id, amount_minor=5000)
        taken = gateway.capture(asked).result
        assert isinstance(taken, Approved)
        assert (taken.amount_minor, taken.reference) == (5000, str(builders.ANOTHER))
        late = builders.void(reference=builders.ANOTHER + 1, sale_transaction_id=reserved.transaction_id)
        refused = gateway.void(late).result
        assert isinstance(refused, Refused)
        assert (refused.refusal, refused.code) == (VoidRefusal.CANNOT_VOID, "PREVIOUSLY_CAPTURED")
        sighting = gateway.inquire(
            builders.inquiry(Operation.AUTHORIZATION, transaction_id=reserved.transaction_id)
        ).result
        assert isinstance(sighting, Found)
        assert sighting.standing is Standing.SETTLING
        assert isinstance(gateway.refund(builders.refund(sale_transaction_id=taken.transaction_id)).result, Refused)
        whole = builders.refund(
            reference=builders.ANOTHER + 2, amount_minor=5000, sale_transaction_id=taken.transaction_id
        )
        assert isinstance(gateway.refund(whole).result, Approved)
        assert sandbox.card(builders.NUMBER).net == 0

    def test_void_of_an_authorization_twice(self, gateway: Gateway, sandbox: SandboxClient) -> None:
        """R11, B24: a void that was lost is found by its authorization, and another void of it is a yes too."""
        reserved = gateway.authorize(builders.sale()).result
        assert isinstance(reserved, Approved)
        asked = builders.inquiry(Operation.VOID, sale_transaction_id=reserved.transaction_id)
        assert isinstance(gateway.inquire(asked).result, Absent)
        sandbox.scenario(after=[sandbox_client.reset()], operation="void")
        void = builders.void(sale_transaction_id=reserved.transaction_id)
        assert isinstance(gateway.void(void).result, Unknown)
        sighting = gateway.inquire(asked).result
        assert isinstance(sighting, Found)
        assert (type(sighting.outcome), sighting.standing) == (Approved, Standing.VOIDED)
        again = gateway.void(replace(void, reference=builders.ANOTHER + 1)).result
        assert isinstance(again, Approved)

    def test_refund_that_pends(self, gateway: Gateway, sandbox: SandboxClient) -> None:
        """R17: a pending refund is accepted, and final once it is completed."""
        sold = self._sold(gateway)
        sandbox.scenario(before=[sandbox_client.answer("PENDING")], operation="refund")
        accepted = gateway.refund(builders.refund(sale_transaction_id=sold)).result
        assert isinstance(accepted, Approved)
        assert not accepted.final
        sandbox.settle()
        asked = builders.inquiry(Operation.REFUND, transaction_id=accepted.transaction_id)
        sighting = gateway.inquire(asked).result
        assert isinstance(sighting, Found)
        assert isinstance(sighting.outcome, Approved)
        assert sighting.outcome.final

    def test_refund_that_never_arrived(self, gateway: Gateway) -> None:
        """E4: a refund that the sale's order does not list is absent, whatever other refunds it lists."""
        sold = self._sold(gateway)
        other = builders.refund(reference=builders.ANOTHER + 1, amount_minor=5000, sale_transaction_id=sold)
        assert isinstance(gateway.refund(other).result, Approved)
        asked = builders.inquiry(Operation.REFUND, sale_transaction_id=sold)
        assert isinstance(gateway.inquire(asked).result, Absent)

    def test_refund_too_late(self, gateway: Gateway, sandbox: SandboxClient) -> None:
        """R17: a sale is not refunded after the days in which PayPal does it."""
        sold = self._sold(gateway)
        sandbox.advance(181 * 24 * 3600)
        refused = gateway.refund(builders.refund(sale_transaction_id=sold)).result
        assert isinstance(refused, Refused)
        assert refused.code == "REFUND_TIME_LIMIT_EXCEEDED"
        assert gateway.traits.refund_within == timedelta(days=180)

    # -- amounts

    @pytest.mark.parametrize(("currency", "amount_minor"), [("JPY", 1185), ("HUF", 118500), ("TWD", 118500)])
    def test_whole_units(self, gateway: Gateway, sandbox: SandboxClient, currency: str, amount_minor: int) -> None:
        """B27: a currency without decimals is written without, and read back as it was asked."""
        outcome = gateway.sale(builders.sale(currency=currency, amount_minor=amount_minor)).result
        assert isinstance(outcome, Approved)
        assert (outcome.amount_minor, outcome.currency) == (amount_minor, currency)
        assert sandbox.transaction(operation="sale").amount == amount_minor

    def test_no_part_of_a_whole_unit(self, gateway: Gateway, sandbox: SandboxClient) -> None:
        """B27: half a forint is refused, not rounded, and nothing is sent."""
        calls: tuple[Callable[[], Outcome], ...] = (
            lambda: gateway.sale(builders.sale(currency="HUF", amount_minor=118550)).result,
            lambda: gateway.refund(builders.refund(currency="HUF", amount_minor=118550)).result,
        )
        for call in calls:
            outcome = call()
            assert isinstance(outcome, Failed)
            assert (outcome.failure, outcome.code) == (FailureClass.REFUSED, "amount")
        assert sandbox.request_count() == 0

    # -- stored cards

    def test_series_by_number(self, gateway: Gateway, sandbox: SandboxClient) -> None:
        """C4: a charge with nobody there carries no code, and what the network called the first one."""
        sale = builders.sale(credential=builders.OF_SERIES)
        assert isinstance(gateway.sale(sale).result, Approved)
        sent = sandbox.requests(operation="sale")[-1].body
        assert '"previous_network_transaction_reference":{"id":"016153570198200","network":"VISA"}' in sent
        assert "security_code" not in sent

    def test_unknown_token(self, gateway: Gateway) -> None:
        """C4: a token that the vault does not know is no decline of the card; one that can be none is not sent."""
        outcome = gateway.sale(builders.sale(card=None, stored_card="nosuch")).result
        assert isinstance(outcome, Failed)
        assert (outcome.failure, outcome.code) == (FailureClass.REFUSED, "TOKEN_ID_NOT_FOUND")
        assert isinstance(gateway.sale(builders.sale(card=None, stored_card="cus_1/pm_1")).result, Failed)
