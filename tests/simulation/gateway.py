"""A simulated gateway behind the real contract; what it booked is the truth that a run is judged by.

Everything happens in the world's time. Before and after a request arrives the caller is paused, so that it may be
killed there, or overtaken by another worker.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from gateways.contract import Capture, Inquiry, Operation, Refund, Refunds, Reply, Sale, Traits, Void, Voids
from rules.outcomes import (
    Absent,
    Approved,
    DeclineClass,
    Declined,
    Evidence,
    Failed,
    FailureClass,
    Found,
    Health,
    Healthy,
    Held,
    NoAnswer,
    Outcome,
    RefundRefusal,
    Refused,
    Sighting,
    Standing,
    Unknown,
    VoidRefusal,
)
from rules.reconciling import Kind, ReportLine, State

if TYPE_CHECKING:
    from tests.simulation.world import World

APPEARS_WITHIN: Final = timedelta(minutes=10)
REPLAY_WINDOW: Final = timedelta(hours=2)

SALE_FAULTS: Final = (
    "not_sent",
    "busy",
    "refused",
    "lost_before",
    "late",
    "lost_after",
    "doubled",
    "soft",
    "soft",
    "hard",
    "held",
    "other_amount",
    "lagging",
    "garbled",
    "broke",
)
VOID_FAULTS: Final = ("not_sent", "busy", "lost_before", "late", "lost_after", "doubled", "will_not", "broke")
REFUND_FAULTS: Final = (
    "not_sent",
    "busy",
    "lost_before",
    "late",
    "lost_after",
    "doubled",
    "not_yet",
    "accepted",
    "accepted",
    "will_not",
)
INQUIRY_FAULTS: Final = ("no_answer", "lags", "broke")
FAULTS: Final = {"sale": SALE_FAULTS, "void": VOID_FAULTS, "refund": REFUND_FAULTS, "inquiry": INQUIRY_FAULTS}


@dataclass
class Booked:
    """One operation in the gateway's own books."""

    reference: int
    operation: str
    amount: int
    id: str
    outcome: Outcome
    at: datetime
    visible_at: datetime
    sale: Booked | None = None
    standing: Standing = Standing.UNSETTLED
    returned: list[Booked] = field(default_factory=list)
    undone: bool = False
    """A refund that failed later, or that a void undid."""

    @property
    def charged(self) -> bool:
        """Whether the card was charged, whatever became of it later."""
        return self.operation == "sale" and isinstance(self.outcome, Approved)

    @property
    def refunded(self) -> int:
        """What refunds returned of this sale."""
        return sum(one.amount for one in self.returned if one.operation == "refund" and not one.undone)

    @property
    def kept(self) -> int:
        """What the merchant has of this sale now."""
        if not self.charged:
            return 0
        return (0 if self.standing is Standing.VOIDED else self.amount) - self.refunded


class SimulatedGateway:
    """A gateway that keeps books, and loses, delays, doubles and refuses as it is told to."""

    name = "payflow"
    account = "simulated"
    traits = Traits(
        currencies=frozenset({"USD"}),
        amount_minor_max=10**9,
        appears_within=APPEARS_WITHIN,
        replay_window=REPLAY_WINDOW,
        voids=Voids.UNTIL_SETTLED,
        void_undoes_latest=True,
        refunds=Refunds.MANY,
        refund_within=None,
        keeps_cards=False,
        authorizes=False,
    )

    def __init__(self, world: World) -> None:
        self.world = world
        self.books: list[Booked] = []
        self.by_reference: dict[int, Booked] = {}
        self.transit: list[tuple[datetime, Callable[[], object]]] = []

    # ---- what a worker calls ----------------------------------------------------------------------------------------

    def sale(self, sale: Sale) -> Reply[Outcome]:
        return self._sent("sale", sale, lambda fault: self._book_sale(sale, fault))

    def void(self, void: Void) -> Reply[Outcome]:
        if (sold := self.by_reference.get(void.sale_reference)) and sold.refunded:
            self.world.wrong("R11: a void was sent after a refund of the same sale had begun")
        return self._sent("void", void, lambda fault: self._book_void(void, fault))

    def refund(self, refund: Refund) -> Reply[Outcome]:
        return self._sent("refund", refund, lambda fault: self._book_refund(refund, fault))

    def authorize(self, sale: Sale) -> Reply[Outcome]:
        raise NotImplementedError

    def capture(self, capture: Capture) -> Reply[Outcome]:
        raise NotImplementedError

    def health(self, send_by: float) -> Reply[Health]:
        return Reply(Healthy(), Evidence(200, {}))

    def inquire(self, inquiry: Inquiry) -> Reply[Sighting]:
        self.world.pause("before it asks the gateway")
        fault = self.world.take_fault("inquiry")
        if fault == "broke":
            raise RuntimeError("a bug of ours in an inquiry")
        sighting = NoAnswer("503") if fault == "no_answer" else self._look(inquiry, fault)
        self.world.say(
            f"the gateway is asked about the {inquiry.operation} {_short(inquiry.reference)}: {_of(sighting)}"
        )
        self.world.pause("after it asked the gateway")
        return Reply(sighting, Evidence(200, {"said": _of(sighting)}))

    # ---- what happens at the gateway --------------------------------------------------------------------------------

    def _sent(
        self, operation: str, call: Sale | Void | Refund, book: Callable[[str | None], Outcome]
    ) -> Reply[Outcome]:
        world = self.world
        world.pause(f"before it sends a {operation}")
        if world.monotonic() >= call.send_by:
            world.met[f"{operation}: past its send-by"] += 1
            return self._reply(operation, call.reference, Failed(FailureClass.NOT_SENT, "deadline"))
        world.check_committed(call.reference)
        fault = world.take_fault(operation)
        match fault:
            case "broke":
                raise RuntimeError("a bug of ours in a call")
            case "not_sent":
                return self._reply(operation, call.reference, Failed(FailureClass.NOT_SENT, "refused connection"))
            case "busy":
                return self._reply(operation, call.reference, Failed(FailureClass.BUSY, "busy"))
            case "refused":
                return self._reply(operation, call.reference, Failed(FailureClass.REFUSED, "bad request"))
            case "lost_before":
                return self._reply(operation, call.reference, Unknown("timeout"))
            case "late":
                self.transit.append((world.now + APPEARS_WITHIN * 0.8, lambda: book(None)))
                return self._reply(operation, call.reference, Unknown("timeout"))
        outcome = book(fault)
        if fault == "doubled":
            book(None)
        world.say(f"the {operation} {_short(call.reference)} of {call.amount_minor} arrives: {_of(outcome)}")
        world.pause(f"after it sent a {operation}")
        if fault == "lost_after":
            return self._reply(operation, call.reference, Unknown("timeout"))
        if fault == "garbled" and isinstance(outcome, Approved):
            outcome = _garbled(outcome, call.reference)
        return self._reply(operation, call.reference, outcome)

    def _reply(self, operation: str, reference: int, outcome: Outcome) -> Reply[Outcome]:
        self.world.say(f"the {operation} {_short(reference)} is answered: {_of(outcome)}")
        return Reply(outcome, Evidence(200, {"said": _of(outcome)}))

    def _repeated(self, reference: int) -> Outcome | None:
        known = self.by_reference.get(reference)
        if known is None or known.at + REPLAY_WINDOW < self.world.now:
            return None
        if isinstance(known.outcome, Approved):
            return replace(known.outcome, repeated=True)
        return known.outcome

    def _add(self, booked: Booked) -> Outcome:
        self.world.ground.changed = True
        self.books.append(booked)
        self.by_reference[booked.reference] = booked
        return booked.outcome

    def _new(self, operation: str, reference: int, amount: int, outcome: Outcome, fault: str | None) -> Booked:
        now = self.world.now
        visible_at = now + APPEARS_WITHIN if fault == "lagging" else now
        return Booked(reference, operation, amount, f"T{len(self.books) + 1}", outcome, now, visible_at)

    def _approved(self, amount: int, final: bool = True) -> Approved:
        return Approved(f"T{len(self.books) + 1}", "0", amount_minor=amount, currency="USD", final=final)

    def _book_sale(self, sale: Sale, fault: str | None) -> Outcome:
        if repeated := self._repeated(sale.reference):
            return repeated
        outcome: Outcome
        amount = sale.amount_minor
        match fault:
            case "soft":
                outcome = Declined(DeclineClass.SOFT_TECHNICAL, "91", "issuer unavailable")
            case "hard":
                outcome = Declined(DeclineClass.HARD, "04", "pick up card")
            case "held":
                outcome = Held(f"T{len(self.books) + 1}", "126", "under review")
            case "other_amount":
                amount += 1
                outcome = self._approved(amount)
            case _:
                outcome = self._approved(amount)
        return self._add(self._new("sale", sale.reference, amount, outcome, fault))

    def _book_void(self, void: Void, fault: str | None) -> Outcome:
        if repeated := self._repeated(void.reference):
            return repeated
        sale = self.by_reference.get(void.sale_reference)
        if sale is None or not sale.charged or fault == "will_not":
            return Refused(VoidRefusal.CANNOT_VOID, "no")
        live = [one for one in sale.returned if one.operation == "refund" and not one.undone]
        if live:  # it undoes the latest operation (R11)
            live[-1].undone = True
        elif sale.standing is Standing.UNSETTLED:
            sale.standing = Standing.VOIDED
        elif sale.standing is not Standing.VOIDED:
            return Refused(VoidRefusal.CANNOT_VOID, "settled")
        booked = self._new("void", void.reference, void.amount_minor, self._approved(void.amount_minor), fault)
        booked.sale = sale
        return self._add(booked)

    def report(self) -> list[ReportLine]:
        """All that it ever booked, as its own report tells it."""
        return [
            ReportLine(
                number,
                _KINDS.get(one.operation, Kind.OTHER),
                _standing_of(one),
                one.amount,
                "USD",
                one.at,
                one.reference,
                one.id,
                one.sale.id if one.sale else "",
            )
            for number, one in enumerate(self.books, start=1)
        ]

    def _book_refund(self, refund: Refund, fault: str | None) -> Outcome:
        if repeated := self._repeated(refund.reference):
            return repeated
        sale = self.by_reference.get(refund.sale_reference)
        if sale is None or not sale.charged:
            self.world.wrong("R11: a refund was sent of what was never charged")
            return Refused(RefundRefusal.REFUSED, "nothing")
        if fault == "will_not":
            return Refused(RefundRefusal.REFUSED, "no")
        if fault == "not_yet" and sale.standing is not Standing.SETTLED:
            return Refused(RefundRefusal.NOT_YET, "not settled")
        if sale.kept < refund.amount_minor and self.world.owners[sale.reference] in self.world.by_hand:
            return Refused(RefundRefusal.ALREADY, "already")  # what was recorded by hand is not known to the books
        if sale.kept < refund.amount_minor:
            self.world.wrong("R17: a refund was sent of more than the merchant still has of the sale")
            return Refused(RefundRefusal.ALREADY, "already")
        outcome = self._approved(refund.amount_minor, final=fault != "accepted")
        booked = self._new("refund", refund.reference, refund.amount_minor, outcome, fault)
        booked.sale = sale
        sale.returned.append(booked)
        return self._add(booked)

    def _look(self, inquiry: Inquiry, fault: str | None) -> Sighting:
        about = inquiry.reference
        booked = self.by_reference.get(about)
        if booked is None or booked.visible_at > self.world.now:
            return Absent("none")
        if fault == "lags" and booked.at + APPEARS_WITHIN > self.world.now:
            return Absent("none yet")
        outcome = booked.outcome
        if isinstance(outcome, Held):
            return Found(outcome, Standing.LIMBO)
        if inquiry.operation is Operation.REFUND:
            if booked.undone:
                return Found(Refused(RefundRefusal.REFUSED, "failed later"), Standing.NOTHING)
            return Found(outcome, Standing.REFUNDED)
        if not booked.charged:
            return Found(outcome, Standing.NOTHING)
        if booked.standing is not Standing.VOIDED and booked.refunded:
            return Found(outcome, Standing.REFUNDED, booked.refunded)
        return Found(outcome, booked.standing)

    # ---- what happens by itself -------------------------------------------------------------------------------------

    def arrive(self) -> None:
        """What was under way and whose time has come arrives."""
        due = [one for one in self.transit if one[0] <= self.world.now]
        self.transit = [one for one in self.transit if one[0] > self.world.now]
        for _, book in due:
            self.world.say(f"a request that was late arrives at the gateway: {_of(book())}")

    def settle(self) -> None:
        """The daily cut-off."""
        for one in self.books:
            if one.charged and one.standing is Standing.UNSETTLED:
                one.standing = Standing.SETTLED
        self.world.say("the gateway settles")

    def give_back(self, reference: int) -> None:
        """Somebody returns a charge at the gateway itself."""
        self.by_reference[reference].standing = Standing.VOIDED

    def decide(self, yes: bool) -> None:
        """What was held is decided; what was only accepted becomes final, or fails."""
        for one in self.books:
            if isinstance(one.outcome, Held):
                declined = Declined(DeclineClass.HARD, "128", "declined by a reviewer")
                one.outcome = Approved(one.id, "0", amount_minor=one.amount, currency="USD") if yes else declined
                self.world.say(f"the gateway decides the held {one.operation} {_short(one.reference)}: {yes}")
            elif one.operation == "refund" and isinstance(one.outcome, Approved) and not one.outcome.final:
                one.outcome = replace(one.outcome, final=True)
                one.undone = not yes
                self.world.say(f"the refund {_short(one.reference)} {'is final' if yes else 'fails after all'}")


_KINDS: Final = {"sale": Kind.SALE, "refund": Kind.REFUND}


def _standing_of(one: Booked) -> State:
    if not isinstance(one.outcome, Approved) or one.undone:
        return State.DECLINED
    if one.operation == "refund":
        return State.SETTLED if one.outcome.final else State.PENDING
    if one.standing is Standing.VOIDED:
        return State.VOIDED
    return State.SETTLED if one.standing is Standing.SETTLED else State.PENDING


def _garbled(outcome: Approved, reference: int) -> Outcome:
    """An odd word that is mended, or an answer to something else, which cannot be recorded."""
    if reference % 2:
        return replace(outcome, transaction_id="not\x00storable")
    return Refused(VoidRefusal.CANNOT_VOID, "no answer to a sale")


def _short(reference: int) -> str:
    return str(reference)[-4:]


def _of(said: Outcome | Sighting | object) -> str:
    match said:
        case Found(outcome=outcome, standing=standing):
            return f"found, {_of(outcome)}, {standing}"
        case Approved(repeated=True):
            return "approved (as before)"
        case Approved(final=False):
            return "accepted"
        case Failed() | Declined() | Refused() | Unknown() | Held() | NoAnswer() | Absent():
            return f"{type(said).__name__.lower()} ({said.code})"
    return type(said).__name__.lower()
