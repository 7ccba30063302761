"""What every request works with: database, broker, vault and the way in for payments; opened once a process."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Annotated, Final

import redis
from fastapi import Depends, Path, Request
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError
from starlette.convertors import Convertor, register_url_convertor

from books.desk import Desk
from books.terms import Terms
from models.engine import engine_for
from producer import Producer
from rules.breaking import Rest
from rules.cards import Brand
from rules.routes import chooser, may_charge
from settings import Settings
from vault import HourKeys, KeyFile, Vault
from web.limits import Limits, limits
from worker.breakers import Breakers
from worker.wake import Wake

CALLER: Final = "console"
"""Whose idempotency keys the console's are (R15)."""

_CONNECTIONS: Final = 16


@dataclass(frozen=True, slots=True)
class Office(Desk):
    """The parts that handlers share; safe to use from several threads."""

    settings: Settings
    engine: Engine
    wake: Wake = field(repr=False)
    vault: Vault = field(repr=False)
    producer: Producer = field(repr=False)
    broker: redis.Redis = field(repr=False)
    limits: Limits = field(repr=False)

    def charges(self, brand: str, currency: str) -> bool:
        """Whether such a card is charged at a gateway (R7), some amounts at least; else it is recorded like cash."""
        return may_charge(self.settings.card_routes, Brand(brand), currency)

    def rested(self) -> Mapping[str, Rest]:
        """The gateways that are rested now, since they keep failing; none where Redis is away."""
        of = self.settings
        return Breakers(self.broker, of.gateways, of.gateway_fail_max, of.gateway_rest).rests()

    def terms(self) -> Terms:
        """What the books must know to record what a person says; nothing is sent by these terms."""
        return self.settings.terms()


@contextmanager
def opened(settings: Settings) -> Iterator[Office]:
    """Everything for one process; connects at first use. Raises VaultClosed where the key file is not right."""
    database_url, redis_url = settings.servers()
    engine = engine_for(database_url, "defray web", _CONNECTIONS)
    wake = Wake(redis_url)
    try:
        with redis.Redis.from_url(redis_url, socket_connect_timeout=1, socket_timeout=1) as broker:
            vault = Vault(_key_file(settings.key_file, engine), HourKeys(broker))
            producer = Producer(
                engine,
                vault,
                wake,
                chooser(settings.card_routes),
                settings.business_time_zone,
                settings.lanes,
                settings.when_owed_less,
            )
            counted = limits(
                redis_url, settings.api_calls_a_minute, dict(settings.api_calls_by_key), settings.api_failures_a_minute
            )
            yield Office(settings, engine, wake, vault, producer, broker, counted)
    finally:
        wake.close()
        engine.dispose()


def _key_file(path: FilePath, engine: Engine) -> KeyFile:
    """The key file, checked now if the database can be asked, else with the first card."""
    key_file = KeyFile(path, engine)
    with suppress(SQLAlchemyError):  # it is away, or its tables are not made yet
        key_file.keys()
    return key_file


def of(request: Request) -> Office:
    """The office of this process."""
    found: Office = request.app.state.office
    return found


async def _here(request: Request) -> Office:
    """A coroutine, as every dependency that asks nobody is to be: a function would be handed to a thread."""
    return of(request)


At = Annotated[Office, Depends(_here)]
"""A handler's parameter: `at: At`."""


class _IdConvertor(Convertor[int]):
    """An id in an address that has words in the same place, too: `/{payment_id:id}`; digits, and not too many."""

    regex = "[0-9]{1,19}"

    def convert(self, value: str) -> int:
        return int(value)

    def to_string(self, value: int) -> str:
        return str(value)


register_url_convertor("id", _IdConvertor())

Id = Annotated[int, Path(ge=1, le=2**63 - 1)]
"""An id in an address, such as `customer_id: Id`."""
