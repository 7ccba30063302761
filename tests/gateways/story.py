"""The same story for every gateway: what must hold whatever its wire looks like. Each gateway's test inherits it.

The sandbox is a server of its own that keeps its own books: it is asked how often the card was charged.
"""

from __future__ import annotations

import itertools
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import ClassVar

import pytest

from gateways.contract import Gateway, Operation, Refunds, Voids
from rules.outcomes import (
    Absent,
    Approved,
    DeclineClass,
    Declined,
    Failed,
    FailureClass,
    Found,
    Healthy,
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


Changes = Mapping[str, str | None]
"""Fields of an answer that the sandbox's `edit` replaces, adds or (None) takes out."""


class Story:
    """Inherit as `class Test…(Story)`, name the gateway, and say where it differs from the others.

    `other_amount`, `other_currency`, `other_reference` turn the answer to the usual sale (118.50 USD) into one for
    11.85 USD, for another currency, for another reference; None where the gateway repeats no such thing. `without`
    lists fields without any one of which an approval proves nothing.
    """

    name: ClassVar[str]
    wrong_credentials: ClassVar[Mapping[str, str]]
    unknown_id: ClassVar[str]
    other_amount: ClassVar[Changes]
    other_currency: ClassVar[Changes | None] = None
    other_reference: ClassVar[Changes | None] = None
    without: ClassVar[Sequence[str]]
    pending_review: ClassVar[type[Outcome] | None] = Unknown
    """What a sale held for review is; None: this gateway holds none."""
    soft_decline: ClassVar[tuple[str, DeclineClass, str]] = (FUNDS, DeclineClass.SOFT_DATED, "51")
    hard_decline: ClassVar[tuple[str, DeclineClass, str]] = (LOST, DeclineClass.HARD, "41")
    """A card, the class of its decline, and the code that is kept."""
    busy: ClassVar[Step] = sandbox_client.page(429, headers={"Retry-After": "7"})
    busy_proves: ClassVar[bool] = False
    """Whether the gateway's documents say that 429 did nothing; else it proves nothing."""
    proving_500: ClassVar[Step | None] = None
    """An answer with a status of 500 or more that proves that nothing was done, where there is one."""
    refund_of_unsettled: ClassVar[RefundRefusal | None] = None
    """How the refund of a sale that has not settled is refused; None: it is made."""
    refund_is_final: ClassVar[bool] = False
    """Whether an approved refund is final at once."""
    sees_both: ClassVar[bool] = True
    """Whether an inquiry by reference shows that there are two transactions under it."""

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

    def test_texts_that_look_like_fields(self, gateway: Gateway, sandbox: SandboxClient) -> None:
        """B16, B17: separators in a name or an invoice number change nothing that decides, there or in the echo."""
        texts = replace(builders.CARD, name='R & D = "Sons"&FinalStatus=badcard', street="1 Main St&RESULT=12&x[3]=y")
        outcome = gateway.sale(builders.sale(card=texts, invoice_number="x&AMT=1.00&card-amount=1.00")).result
        assert isinstance(outcome, Approved)
        booked = sandbox.transaction(operation="sale")
        assert (booked.amount, booked.currency, booked.last4) == (11850, "USD", "1111")

    def test_declined(self, gateway: Gateway, sandbox: SandboxClient) -> None:
        """R16: a soft and a hard decline, told apart by the issuer's code; neither charges."""
        for number, decline, code in (self.soft_decline, self.hard_decline):
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
        if self.pending_review is None:
            pytest.skip("this gateway holds no sale for review")
        card = replace(builders.CARD, number=REVIEW)
        assert isinstance(gateway.sale(builders.sale(card=card)).result, self.pending_review)

    def test_wrong_credentials(self, process: SandboxProcess, gateway: Gateway, sandbox: SandboxClient) -> None:
        """E3: refused credentials prove that nothing was done, and say that every call would fail."""
        sold = self._sold(gateway)
        stranger = builders.gateway(self.name, self._url(process), config=self.wrong_credentials)
        for outcome in self._movements(stranger, sold):
            assert isinstance(outcome, Failed)
            assert outcome.failure is FailureClass.GATEWAY_SETUP
        assert isinstance(stranger.inquire(builders.inquiry()).result, NoAnswer)
        health = stranger.health(builders.soon()).result
        assert isinstance(health, Unwell)
        assert health.setup
        assert sandbox.card(builders.NUMBER).charged == 1
        assert sandbox.card(builders.NUMBER).net == 11850

    def _movements(self, gateway: Gateway, sold: str, send_by: float | None = None) -> list[Outcome]:
        """What a new sale, and a void and a refund of the sale `sold`, come to."""
        by = builders.soon() if send_by is None else send_by
        number = builders.ANOTHER
        return [
            gateway.sale(builders.sale(reference=number, send_by=by)).result,
            gateway.void(builders.void(reference=number + 1, sale_transaction_id=sold, send_by=by)).result,
            gateway.refund(builders.refund(reference=number + 2, sale_transaction_id=sold, send_by=by)).result,
        ]

    def test_healthy(self, gateway: Gateway, sandbox: SandboxClient) -> None:
        """A health check says that the gateway answers and lets us in, and moves nothing."""
        assert isinstance(gateway.health(builders.soon()).result, Healthy)
        assert sandbox.transactions() == []

    def test_sent_twice(self, gateway: Gateway, sandbox: SandboxClient) -> None:
        """E4: the same reference sent again is the same bytes, the same answer and no second charge."""
        first, second = (gateway.sale(builders.sale()).result for _ in range(2))
        assert first == second
        assert isinstance(first, Approved)
        assert sandbox.card(builders.NUMBER).charged == 1
        sent = sandbox.requests(operation="sale")
        assert [request.body for request in sent] == [sent[0].body] * 2
        assert sent[0].headers == sent[1].headers

    def test_reference_taken(self, gateway: Gateway, sandbox: SandboxClient) -> None:
        """E2, B08: another sale under a reference that was used charges nothing and is not taken as paid as asked."""
        self._sold(gateway)
        outcome = gateway.sale(builders.sale(amount_minor=7500)).result
        assert isinstance(outcome, Unknown | Failed) or (
            isinstance(outcome, Approved) and outcome.amount_minor == 11850
        )
        assert sandbox.card(builders.NUMBER).charged == 1

    def test_sent_twice_at_once(self, gateway: Gateway, sandbox: SandboxClient) -> None:
        """E4: two sends of one reference that are under way together charge once."""
        sandbox.scenario(before=[sandbox_client.hold("both")], operation="sale", times=2)
        with ThreadPoolExecutor(2) as threads:
            sends = [threads.submit(gateway.sale, builders.sale()) for _ in range(2)]
            sandbox.wait_for("both", 2)
            sandbox.release("both", stay_open=True)
            outcomes = [send.result().result for send in sends]
        assert any(isinstance(outcome, Approved) for outcome in outcomes)
        assert len({outcome.transaction_id for outcome in outcomes if isinstance(outcome, Approved)}) == 1
        assert all(isinstance(outcome, Approved | Unknown | Failed) for outcome in outcomes)
        assert sandbox.card(builders.NUMBER).charged == 1

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
        assert sighting.standing is self._fresh(gateway)
        assert (sighting.outcome.transaction_id, sighting.outcome.amount_minor) == (approved.transaction_id, 11850)

    def test_inquiry_finds_nothing(self, gateway: Gateway, sandbox: SandboxClient) -> None:
        """E4: what was never sent is absent, and asking moves nothing."""
        assert isinstance(gateway.inquire(builders.inquiry()).result, Absent)
        assert sandbox.transactions() == []

    def test_inquiry_finds_two(self, gateway: Gateway, sandbox: SandboxClient) -> None:
        """B13: two transactions under one reference are never absent and none is picked: a person must look."""
        self._twin(sandbox, self._sold(gateway))
        assert len(sandbox.transactions(operation="sale")) == 2
        sighting = gateway.inquire(builders.inquiry()).result
        assert isinstance(sighting, Found)
        if self.sees_both:
            assert isinstance(sighting.outcome, Unknown)
            assert sighting.standing is Standing.LIMBO

    @pytest.mark.parametrize("length", [0, 1, 20, 40, 60, 90])
    def test_inquiry_cut_short(self, gateway: Gateway, sandbox: SandboxClient, length: int) -> None:
        """B19: an inquiry's answer that is cut, with a length that says so, never makes a sale absent or a decline."""
        self._sold(gateway)
        sandbox.scenario(after=[sandbox_client.cut(length, promise_all=False)], operation="inquiry")
        sighting = gateway.inquire(builders.inquiry()).result
        assert isinstance(sighting, NoAnswer) or (
            isinstance(sighting, Found) and isinstance(sighting.outcome, Approved | Unknown)
        )

    def _twin(self, sandbox: SandboxClient, sold: str) -> None:
        """Make the sandbox book the sale `sold` a second time under the same reference."""
        sandbox.twin(self.name, sold)

    def _fresh(self, gateway: Gateway) -> Standing:
        """Where a sale stands right after it was approved."""
        return Standing.SETTLED if gateway.traits.voids is Voids.NEVER else Standing.UNSETTLED

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
        sandbox_client.cut(3, stall=True),
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
        "step",
        [sandbox_client.reset(), sandbox_client.close(), sandbox_client.page(500), sandbox_client.page(502)],
        ids=_named,
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
        assert isinstance(gateway.health(time.monotonic() + 0.05).result, Unwell)

    def test_time_out_before_the_send(self) -> None:
        """E3: a gateway that takes the connection and is silent before the first byte could leave did nothing."""
        with socket.create_server(("127.0.0.1", 0)) as silent:
            url = f"https://127.0.0.1:{silent.getsockname()[1]}/"
            gateway = builders.gateway(self.name, url, read_timeout=0.05, connect_timeout=0.05)
            outcome = gateway.sale(builders.sale(send_by=time.monotonic() + 0.05)).result
        assert isinstance(outcome, Failed)
        assert outcome.failure is FailureClass.NOT_SENT

    def test_too_late_to_send(self, gateway: Gateway, sandbox: SandboxClient) -> None:
        """E1: past send_by nothing is sent."""
        for outcome in self._movements(gateway, self.unknown_id, send_by=0.0):
            assert outcome == Failed(FailureClass.NOT_SENT, "send_by", "the time to send it by had passed")
        assert isinstance(gateway.inquire(builders.inquiry(send_by=0.0)).result, NoAnswer)
        assert isinstance(gateway.health(0.0).result, Unwell)
        assert sandbox.request_count() == 0

    # -- answers that refuse, or say nothing

    def test_busy(self, gateway: Gateway, sandbox: SandboxClient) -> None:
        """E3: 429 does nothing; as busy, with the time to wait, only where the gateway's documents say so."""
        sandbox.scenario(before=[self.busy], times=0)
        for outcome in self._movements(gateway, self.unknown_id):
            if self.busy_proves:
                assert isinstance(outcome, Failed)
                assert (outcome.failure, outcome.retry_after) == (FailureClass.BUSY, timedelta(seconds=7))
            else:
                assert isinstance(outcome, Unknown)
        assert isinstance(gateway.inquire(builders.inquiry()).result, NoAnswer)
        health = gateway.health(builders.soon()).result
        assert isinstance(health, Unwell)
        assert not health.setup
        assert sandbox.transactions() == []

    def test_error_that_proves(self, gateway: Gateway, sandbox: SandboxClient) -> None:
        """E3: a server error counts as not done only where its body proves it."""
        if self.proving_500 is None:
            pytest.skip("no server error of this gateway proves anything")
        sandbox.scenario(before=[self.proving_500], operation="sale")
        assert isinstance(gateway.sale(builders.sale()).result, Failed)
        assert sandbox.card(builders.NUMBER).charged == 0

    def test_redirect(self, gateway: Gateway, sandbox: SandboxClient) -> None:
        """E3: no call follows a redirect: nothing of it arrives at the other host."""
        sandbox.scenario(before=[sandbox_client.page(307)], times=0)
        assert [type(outcome) for outcome in self._movements(gateway, self.unknown_id)] == [Unknown] * 3
        assert isinstance(gateway.inquire(builders.inquiry()).result, NoAnswer)
        assert isinstance(gateway.health(builders.soon()).result, Unwell)
        assert sandbox.decoy()[1] == []

    def test_unknown_fields(self, gateway: Gateway, sandbox: SandboxClient) -> None:
        """B19: fields that nobody knows change nothing in an approval."""
        scenario = sandbox.scenario(after=[sandbox_client.edit({"surprise": "1", "NOVELTY": "yes"})], operation="sale")
        outcome = gateway.sale(builders.sale()).result
        assert sandbox.applied(scenario) == 1
        assert isinstance(outcome, Approved)
        assert outcome.amount_minor in (None, 11850)

    def test_missing_fields(self, gateway: Gateway, sandbox: SandboxClient) -> None:
        """B19: an approval without a field that makes it one proves nothing."""
        for place, field in enumerate(self.without):
            sandbox.scenario(after=[sandbox_client.edit({field: None})], operation="sale")
            outcome = gateway.sale(builders.sale(reference=builders.REFERENCE + place)).result
            assert isinstance(outcome, Unknown), field

    def test_stray_accents(self, gateway: Gateway, sandbox: SandboxClient) -> None:
        """B19: an answer in another charset than expected is read as far as it proves something, or is unknown."""
        sandbox.scenario(after=[sandbox_client.garble("latin-1")], operation="sale")
        outcome = gateway.sale(builders.sale()).result
        assert isinstance(outcome, Unknown) or (isinstance(outcome, Approved) and outcome.amount_minor in (None, 11850))

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
        outcome = self._edited(gateway, sandbox, self.other_amount)
        if isinstance(outcome, Approved):
            assert outcome.amount_minor == 1185

    def test_approval_of_another_currency(self, gateway: Gateway, sandbox: SandboxClient) -> None:
        """R18: an approval in another currency says so."""
        if self.other_currency is None:
            assert self._approved(gateway).currency is None
            return
        outcome = self._edited(gateway, sandbox, self.other_currency)
        if isinstance(outcome, Approved):
            assert outcome.currency not in (None, "USD")

    def test_approval_of_another_reference(self, gateway: Gateway, sandbox: SandboxClient) -> None:
        """R18: an approval of another reference says so."""
        if self.other_reference is None:
            assert self._approved(gateway).reference is None
            return
        outcome = self._edited(gateway, sandbox, self.other_reference)
        if isinstance(outcome, Approved):
            ours = self._approved(gateway).reference
            assert outcome.reference is not None
            assert outcome.reference != ours

    def _edited(self, gateway: Gateway, sandbox: SandboxClient, changes: Changes) -> Approved | Unknown:
        """What the sale comes to whose answer was changed so: it may say what it said, or be unknown."""
        scenario = sandbox.scenario(after=[sandbox_client.edit(changes)], operation="sale")
        outcome = gateway.sale(builders.sale()).result
        assert sandbox.applied(scenario) == 1
        assert isinstance(outcome, Approved | Unknown)
        return outcome

    # -- void and refund

    def _approved(self, gateway: Gateway) -> Approved:
        outcome = gateway.sale(builders.sale()).result
        assert isinstance(outcome, Approved)
        return outcome

    def _sold(self, gateway: Gateway) -> str:
        return self._approved(gateway).transaction_id

    def _standing(self, gateway: Gateway, sold: str) -> Standing:
        """Where the sale `sold` stands."""
        sighting = gateway.inquire(builders.inquiry(transaction_id=sold)).result
        assert isinstance(sighting, Found)
        return sighting.standing

    def test_void(self, gateway: Gateway, sandbox: SandboxClient) -> None:
        """R11: an unsettled sale is voided, and both the sale and the void are found so."""
        sold = self._sold(gateway)
        outcome = gateway.void(builders.void(sale_transaction_id=sold)).result
        if gateway.traits.voids is Voids.NEVER:
            assert isinstance(outcome, Refused)
            assert outcome.refusal is VoidRefusal.CANNOT_VOID
            assert self._standing(gateway, sold) is Standing.SETTLED
            assert sandbox.card(builders.NUMBER).net == 11850
            return
        assert isinstance(outcome, Approved)
        for asked in (builders.inquiry(transaction_id=sold), builders.inquiry(Operation.VOID)):
            sighting = gateway.inquire(replace(asked, sale_transaction_id=sold)).result
            assert isinstance(sighting, Found)
            assert isinstance(sighting.outcome, Approved)
            assert sighting.standing is Standing.VOIDED
        assert sandbox.card(builders.NUMBER).standing == 0

    def test_void_twice(self, gateway: Gateway, sandbox: SandboxClient) -> None:
        """R11: a second void of a sale is a yes or "cannot", and the sale stays voided."""
        if gateway.traits.voids is Voids.NEVER:
            pytest.skip("a sale is final at once here")
        sold = self._sold(gateway)
        assert isinstance(gateway.void(builders.void(sale_transaction_id=sold)).result, Approved)
        again = gateway.void(builders.void(reference=builders.ANOTHER + 1, sale_transaction_id=sold)).result
        assert isinstance(again, Approved) or (isinstance(again, Refused) and again.refusal is VoidRefusal.CANNOT_VOID)
        assert self._standing(gateway, sold) is Standing.VOIDED

    def test_void_of_nothing(self, gateway: Gateway, sandbox: SandboxClient) -> None:
        """R11: the void of a sale that the gateway never saw is no yes."""
        outcome = gateway.void(builders.void(sale_transaction_id=self.unknown_id)).result
        assert isinstance(outcome, Refused | Failed)
        assert sandbox.card(builders.NUMBER).charged == 0

    def test_void_not_seen(self, gateway: Gateway) -> None:
        """E4: a void that never arrived is absent, while its sale stands."""
        sold = self._sold(gateway)
        asked = builders.inquiry(Operation.VOID, sale_transaction_id=sold)
        assert isinstance(gateway.inquire(asked).result, Absent)

    def test_void_lost(self, gateway: Gateway, sandbox: SandboxClient) -> None:
        """B24: a void whose answer is lost is unknown; the sale's standing then tells that it was made."""
        if gateway.traits.voids is Voids.NEVER:
            pytest.skip("a sale is final at once here")
        sold = self._sold(gateway)
        sandbox.scenario(after=[sandbox_client.reset()], operation="void")
        assert isinstance(gateway.void(builders.void(sale_transaction_id=sold)).result, Unknown)
        assert self._standing(gateway, sold) is Standing.VOIDED

    def test_void_too_late_then_refund(self, gateway: Gateway, sandbox: SandboxClient) -> None:
        """R11, R17, B50: the void of a settled sale is refused, its standing confirms why, the refund follows once."""
        sold = self._sold(gateway)
        sandbox.settle()
        refused = gateway.void(builders.void(sale_transaction_id=sold)).result
        assert isinstance(refused, Refused)
        assert refused.refusal is VoidRefusal.CANNOT_VOID
        assert self._standing(gateway, sold) is Standing.SETTLED
        asked = builders.refund(reference=builders.ANOTHER + 1, sale_transaction_id=sold)
        accepted = gateway.refund(asked).result
        assert isinstance(accepted, Approved)
        assert accepted.final is self.refund_is_final
        self._refund_becomes_final(gateway, sandbox, sold, asked.reference)
        assert sandbox.card(builders.NUMBER).net == 0

    def _refund_becomes_final(self, gateway: Gateway, sandbox: SandboxClient, sold: str, reference: int) -> None:
        for final in (self.refund_is_final, True):
            asked = builders.inquiry(Operation.REFUND, reference=reference, sale_transaction_id=sold)
            sighting = gateway.inquire(asked).result
            assert isinstance(sighting, Found)
            assert isinstance(sighting.outcome, Approved)
            assert (sighting.outcome.final, sighting.standing) == (final, Standing.REFUNDED)
            assert sighting.refunded_minor == 11850
            sandbox.settle()

    def test_void_after_the_refund(self, gateway: Gateway, sandbox: SandboxClient) -> None:
        """R11, B75: a late void after a return returns nothing twice; where it undoes the return, an inquiry tells."""
        sold = self._sold(gateway)
        sandbox.settle()
        assert isinstance(gateway.refund(builders.refund(sale_transaction_id=sold)).result, Approved)
        late = gateway.void(builders.void(reference=builders.ANOTHER + 1, sale_transaction_id=sold)).result
        sighting = gateway.inquire(builders.inquiry(Operation.REFUND, sale_transaction_id=sold)).result
        assert isinstance(sighting, Found)
        if gateway.traits.void_undoes_latest:
            assert isinstance(late, Approved)
            assert sighting.standing is Standing.LIMBO
            assert sandbox.card(builders.NUMBER).net == 11850
        else:
            assert isinstance(late, Refused)
            assert sighting.standing is Standing.REFUNDED
            assert sandbox.card(builders.NUMBER).net == 0

    def test_refund_of_unsettled(self, gateway: Gateway, sandbox: SandboxClient) -> None:
        """B43: the refund of a sale that has not settled is refused, or made; never something between."""
        sold = self._sold(gateway)
        outcome = gateway.refund(builders.refund(sale_transaction_id=sold)).result
        if self.refund_of_unsettled is None:
            assert isinstance(outcome, Approved)
            assert sandbox.card(builders.NUMBER).net == 0
        else:
            assert isinstance(outcome, Refused)
            assert outcome.refusal is self.refund_of_unsettled
            assert sandbox.card(builders.NUMBER).net == 11850

    def test_refund_beyond_the_sale(self, gateway: Gateway, sandbox: SandboxClient) -> None:
        """R17: a refund of more than the sale is refused and moves nothing."""
        sold = self._sold(gateway)
        sandbox.settle()
        outcome = gateway.refund(builders.refund(sale_transaction_id=sold, amount_minor=11851)).result
        assert isinstance(outcome, Refused)
        assert sandbox.card(builders.NUMBER).net == 11850

    def test_refund_of_a_refunded_sale(self, gateway: Gateway, sandbox: SandboxClient) -> None:
        """R17, B47: two refunds of the whole sale, with two references, return it once."""
        sold = self._sold(gateway)
        sandbox.settle()
        asked = builders.refund(sale_transaction_id=sold)
        assert isinstance(gateway.refund(asked).result, Approved)
        assert isinstance(gateway.refund(replace(asked, reference=builders.ANOTHER + 1)).result, Refused)
        assert sandbox.card(builders.NUMBER).net == 0

    def test_refund_in_parts(self, gateway: Gateway, sandbox: SandboxClient) -> None:
        """R17: a part of a sale is returned, and where the gateway allows it the rest too; the traits say which."""
        sold = self._sold(gateway)
        sandbox.settle()
        part = builders.refund(amount_minor=5000, sale_transaction_id=sold)
        first = gateway.refund(part).result
        assert isinstance(first, Approved)
        assert first.amount_minor in (None, 5000)
        rest = gateway.refund(replace(part, reference=builders.ANOTHER + 1, amount_minor=6850)).result
        if gateway.traits.refunds is Refunds.MANY:
            assert isinstance(rest, Approved)
            assert sandbox.card(builders.NUMBER).net == 0
        else:
            assert isinstance(rest, Refused)
            assert sandbox.card(builders.NUMBER).net == 6850

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

    def test_refund_sent_twice_at_once(self, gateway: Gateway, sandbox: SandboxClient) -> None:
        """E4, B47: two sends of one refund that are under way together return the money once."""
        sold = self._sold(gateway)
        sandbox.settle()
        asked = builders.refund(sale_transaction_id=sold)
        sandbox.scenario(before=[sandbox_client.hold("both")], operation="refund", times=2)
        with ThreadPoolExecutor(2) as threads:
            sends = [threads.submit(gateway.refund, asked) for _ in range(2)]
            sandbox.wait_for("both", 2)
            sandbox.release("both", stay_open=True)
            outcomes = [send.result().result for send in sends]
        assert any(isinstance(outcome, Approved) for outcome in outcomes)
        assert sandbox.card(builders.NUMBER).net == 0
        assert len([one for one in sandbox.transactions(operation="refund") if one.state != "refused"]) == 1

    def test_another_sale_as_duplicate_of_a_reversal(self, gateway: Gateway, sandbox: SandboxClient) -> None:
        """B08: another customer's sale, given back as the duplicate of a void or a refund, returns nothing here."""
        gateway.sale(builders.sale(reference=builders.ANOTHER + 5, amount_minor=7500))
        other = sandbox.transaction(operation="sale")
        sold = self._sold(gateway)
        for operation in ("void", "refund"):
            sandbox.scenario(before=[sandbox_client.foreign(other.id)], operation=operation, times=0)
        for outcome in self._movements(gateway, sold)[1:]:
            assert isinstance(outcome, Unknown | Failed | Refused)
        assert self._standing(gateway, sold) is self._fresh(gateway)

    def test_refund_of_nothing(self, gateway: Gateway, sandbox: SandboxClient) -> None:
        """R17: the refund of a sale that the gateway never saw is no yes."""
        outcome = gateway.refund(builders.refund(sale_transaction_id=self.unknown_id)).result
        assert isinstance(outcome, Refused | Failed)
        assert [one for one in sandbox.transactions(operation="refund") if one.state != "refused"] == []

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
        health = gateway.health(builders.soon()).result
        assert isinstance(health, Unwell)
        assert not health.setup

    # -- authorization and capture

    def _authorized(self, gateway: Gateway) -> str | None:
        """The id of the usual amount, authorized; None where the gateway has no such thing, and says so."""
        outcome = gateway.authorize(builders.sale()).result
        if gateway.traits.authorizes:
            assert isinstance(outcome, Approved)
            return outcome.transaction_id
        assert isinstance(outcome, Failed)
        assert (outcome.failure, outcome.code) == (FailureClass.REFUSED, "unsupported")
        captured = gateway.capture(builders.capture()).result
        assert isinstance(captured, Failed)
        assert (captured.failure, captured.code) == (FailureClass.REFUSED, "unsupported")
        return None

    def test_authorize_and_capture(self, gateway: Gateway, sandbox: SandboxClient) -> None:
        """An authorization moves nothing; its capture does, once, and each is found by its own reference."""
        authorized = self._authorized(gateway)
        assert sandbox.card(builders.NUMBER).charged == 0
        if authorized is None:
            return
        reserved = gateway.inquire(builders.inquiry(Operation.AUTHORIZATION)).result
        assert isinstance(reserved, Found)
        assert isinstance(reserved.outcome, Approved)
        asked = builders.inquiry(Operation.CAPTURE, sale_transaction_id=authorized)
        assert isinstance(gateway.inquire(asked).result, Absent)
        taken = gateway.capture(builders.capture(authorization_transaction_id=authorized)).result
        assert isinstance(taken, Approved)
        assert taken.amount_minor in (None, 11850)
        assert sandbox.card(builders.NUMBER).net == 11850
        sighting = gateway.inquire(asked).result
        assert isinstance(sighting, Found)
        assert isinstance(sighting.outcome, Approved)
        assert sighting.standing is self._fresh(gateway)

    def test_capture_lost(self, gateway: Gateway, sandbox: SandboxClient) -> None:
        """E4: a capture whose answer is lost is unknown, is found by inquiry, and sent again takes nothing more."""
        if (authorized := self._authorized(gateway)) is None:
            return
        sandbox.scenario(after=[sandbox_client.reset()], operation="capture")
        asked = builders.capture(authorization_transaction_id=authorized)
        assert isinstance(gateway.capture(asked).result, Unknown)
        sighting = gateway.inquire(builders.inquiry(Operation.CAPTURE, sale_transaction_id=authorized)).result
        assert isinstance(sighting, Found)
        assert isinstance(sighting.outcome, Approved)
        assert isinstance(gateway.capture(asked).result, Approved | Failed | Unknown)
        assert sandbox.card(builders.NUMBER).net == 11850

    def test_capture_too_much(self, gateway: Gateway, sandbox: SandboxClient) -> None:
        """More than was authorized is not taken."""
        if (authorized := self._authorized(gateway)) is None:
            return
        asked = builders.capture(authorization_transaction_id=authorized, amount_minor=99_999)
        assert isinstance(gateway.capture(asked).result, Failed | Declined | Unknown)
        assert sandbox.card(builders.NUMBER).net == 0

    def test_void_of_an_authorization(self, gateway: Gateway, sandbox: SandboxClient) -> None:
        """R11: an authorization that was not captured is voided, and can't be captured any more."""
        if (authorized := self._authorized(gateway)) is None:
            return
        assert isinstance(gateway.void(builders.void(sale_transaction_id=authorized)).result, Approved)
        asked = builders.inquiry(Operation.AUTHORIZATION, transaction_id=authorized)
        sighting = gateway.inquire(asked).result
        assert isinstance(sighting, Found)
        assert sighting.standing is Standing.VOIDED
        late = builders.capture(reference=builders.ANOTHER + 1, authorization_transaction_id=authorized)
        assert isinstance(gateway.capture(late).result, Failed | Declined | Unknown)
        assert sandbox.card(builders.NUMBER).net == 0

    # -- stored cards

    def test_stored_card(self, gateway: Gateway, sandbox: SandboxClient) -> None:
        """C4: the token of an earlier sale charges its card again, without the number, and nobody at the till."""
        first = gateway.sale(builders.sale(keep_card=True)).result
        assert isinstance(first, Approved)
        again = builders.sale(
            reference=builders.ANOTHER,
            card=None,
            stored_card=first.card_token or first.transaction_id,
            credential=builders.OF_SERIES,
        )
        outcome = gateway.sale(again).result
        if not gateway.traits.keeps_cards:
            assert outcome == Failed(FailureClass.REFUSED, "stored_card", "the gateway keeps no cards: give the number")
            return
        assert first.card_token
        assert isinstance(outcome, Approved)
        assert sandbox.card(builders.NUMBER).charged == 2
        assert builders.NUMBER[-4:] not in sandbox.requests(operation="sale")[-1].body

    def test_every_small_amount_arrives(self, gateway: Gateway, sandbox: SandboxClient) -> None:
        """B26: amounts with awkward cents arrive at the gateway as they were asked."""
        numbers = itertools.count(builders.REFERENCE)
        amounts = [1, 9, 10, 99, 100, 101, 1999, 3570, 5705, 11016, min(999_999_999, gateway.traits.amount_minor_max)]
        for amount_minor in amounts:
            asked = builders.sale(reference=next(numbers), amount_minor=amount_minor)
            assert isinstance(gateway.sale(asked).result, Approved)
        assert [booked.amount for booked in sandbox.transactions(operation="sale")] == amounts
