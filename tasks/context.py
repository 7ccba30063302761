"""What every task of one process works with: database, vault, gateways, terms; built once, after the fork."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, TypeVar

import redis
from sqlalchemy import Connection, Engine

from books import clock
from books.tally import Tally
from books.terms import AtGateway, Terms
from gateways import registry
from gateways.contract import Gateway, Inquiry, Refund, Refunds, Reply, Sale, Void
from mailer.smtp import Server, server_at
from rules.outcomes import Outcome, Sighting
from settings import Settings
from tasks.guard import Guard
from vault import HourKeys, KeyFile, Vault
from webhooks.send import Limits
from worker import boot
from worker.breakers import Breakers
from worker.wake import Wake
from worker.witness import Witness

BY: Final = "defray"
"""Who acts where no person does."""

R_co = TypeVar("R_co", covariant=True, bound=Outcome | Sighting)
Call = Callable[[], Reply[R_co]]
"""A call of a gateway, to be made on a thread of its own."""


@dataclass(frozen=True, slots=True)
class Post:
    """How mail leaves: by which server, from which address, in whose name."""

    server: Server
    sender: str
    business: str


@dataclass(frozen=True, slots=True)
class Context:
    """The parts of a worker process."""

    engine: Engine
    wake: Wake
    vault: Vault = field(repr=False)
    gateways: Mapping[str, Gateway]
    breakers: Breakers
    guard: Guard
    terms: Terms
    window: int
    lanes: int
    post: Post | None = None  # None: no mail server is set, and no mail is sent
    notice_secrets: Mapping[str, Mapping[str, str]] = field(default_factory=dict, repr=False)
    webhook_limits: Limits = field(default_factory=Limits)

    @contextmanager
    def transaction(self) -> Iterator[tuple[Connection, datetime]]:
        """One transaction, with its moment by the database's clock (D2); committed on leaving, rolled back on error."""
        with self.engine.begin() as conn:
            now = clock.now(conn)
            self.guard.check(conn, now, BY)
            yield conn, now

    def send_by(self) -> float:
        """The monotonic moment until which a send that is begun now may leave (E1)."""
        return time.monotonic() + self.terms.send_within.total_seconds()

    def forget(self, conn: Connection, tally: Tally) -> None:
        """Drop what is not needed any more of the cards (C2)."""
        if tally.answered_cards:
            self.vault.drop_security_codes(conn, tally.answered_cards)
        if tally.spent_cards:
            self.vault.drop_keys(conn, tally.spent_cards)

    # A gateway is looked up when its call is made, on that thread: one that is not configured any more proves nothing.

    def sale(self, gateway: str, sale: Sale) -> Call[Outcome]:
        """A sale, ready to be made."""
        return lambda: self.gateways[gateway].sale(sale)

    def void(self, gateway: str, void: Void) -> Call[Outcome]:
        """A void, ready to be made."""
        return lambda: self.gateways[gateway].void(void)

    def refund(self, gateway: str, refund: Refund) -> Call[Outcome]:
        """A refund, ready to be made."""
        return lambda: self.gateways[gateway].refund(refund)

    def inquire(self, gateway: str, inquiry: Inquiry) -> Call[Sighting]:
        """An inquiry, ready to be made."""
        return lambda: self.gateways[gateway].inquire(inquiry)


def build(settings: Settings, engine: Engine, wake: Wake) -> Context:
    """Put the parts together from the settings. Raises VaultClosed where the key file is not the database's."""
    gateways = {name: _gateway(name, settings) for name in settings.gateways}
    _, redis_url = settings.servers()
    broker = redis.Redis.from_url(redis_url, socket_connect_timeout=1, socket_timeout=1)
    key_file = KeyFile(settings.key_file, engine)
    key_file.keys()
    return Context(
        engine=engine,
        wake=wake,
        vault=Vault(key_file, HourKeys(broker)),
        gateways=gateways,
        breakers=Breakers(broker, gateways, settings.gateway_fail_max, settings.gateway_rest),
        guard=Guard(Witness(settings.witness_folder, broker), settings.after_failover),
        terms=terms(settings, gateways),
        window=settings.window,
        lanes=settings.lanes,
        post=_post(settings),
        notice_secrets=settings.notice_secrets,
        webhook_limits=Limits(allow_private=settings.webhook_allow_private),
    )


def terms(settings: Settings, gateways: Mapping[str, Gateway]) -> Terms:
    """The books' terms, with what each gateway promises."""
    return settings.terms(
        {
            name: AtGateway(
                account=gateway.account,
                appears_within=gateway.traits.appears_within,
                replay_window=gateway.traits.replay_window,
                one_refund=gateway.traits.refunds is Refunds.ONE,
                refund_within=gateway.traits.refund_within,
            )
            for name, gateway in gateways.items()
        }
    )


def _post(settings: Settings) -> Post | None:
    if settings.smtp_url is None:
        return None
    return Post(server_at(settings.smtp_url), settings.mail_from, settings.business_name)


def _gateway(name: str, settings: Settings) -> Gateway:
    return registry.build(
        name,
        settings.gateway_config[name],
        pool_size=settings.window,
        connect_timeout=settings.connect_timeout.total_seconds(),
        read_timeout=settings.read_timeout.total_seconds(),
    )


_built: dict[int, Context] = {}


def current() -> Context:
    """This process's context, built at its first task."""
    process = boot.process()
    if id(process) not in _built:
        _built.clear()
        _built[id(process)] = build(process.settings, process.engine, process.wake)
    return _built[id(process)]
