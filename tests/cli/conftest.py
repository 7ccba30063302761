"""The command at work on real servers: in process, with the house of the flows as the workers."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import Engine, text

from cli.main import defray
from sandbox.client import SandboxProcess
from tests.flows.conftest import house, sandbox, sandbox_process
from tests.flows.house import House

__all__ = ["house", "sandbox", "sandbox_process"]


@dataclass
class Desk:
    """A terminal at which somebody types commands, beside the house in which the work is done."""

    house: House
    environment: dict[str, str]

    def run(self, *words: object, given: str = "", environment: dict[str, str] | None = None) -> Result:
        """What a command says, and its exit code."""
        said = CliRunner().invoke(
            defray, [str(word) for word in words], input=given, env={**self.environment, **(environment or {})}
        )
        if said.exception is not None and not isinstance(said.exception, SystemExit):
            raise said.exception
        return said

    def ask(self, *words: object, given: str = "", code: int = 0) -> Any:
        """What a command answers in JSON."""
        said = self.run(*words, "--json", given=given)
        assert said.exit_code == code, said.output
        return json.loads(said.stdout)

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Work while the block runs, as workers do."""
        ended = threading.Event()

        def work() -> None:
            while not ended.wait(0.05):
                open_batches = self.house.rows("SELECT id FROM batches WHERE state = 'open'")
                for batch_id in (None, *(batch.id for batch in open_batches)):
                    self.house.charge(batch_id)
                    self.house.post(batch_id)
                self.house.reverse()

        worker = threading.Thread(target=work)
        worker.start()
        try:
            yield
        finally:
            ended.set()
            worker.join()


@pytest.fixture
def desk(house: House, sandbox: SandboxProcess, database_url: str, redis_url: str, tmp_path: Path) -> Desk:
    """A terminal of the house."""
    return Desk(
        house,
        {
            "DEFRAY_HOME": str(tmp_path / "nothing-runs-here"),
            "DEFRAY_DATABASE_URL": database_url,
            "DEFRAY_REDIS_URL": redis_url,
            "DEFRAY_KEY_FILE": str(tmp_path / "keys.json"),
            "DEFRAY_BUSINESS_TIME_ZONE": "America/New_York",
            "DEFRAY_GATEWAYS": "payflow,plugnpay",
            "DEFRAY_CARD_ROUTES": "amex=plugnpay,*=payflow",
            "DEFRAY_PAYFLOW_URL": sandbox.url("payflow"),
            "DEFRAY_PAYFLOW_USER": "sandbox",
            "DEFRAY_PAYFLOW_VENDOR": "sandbox",
            "DEFRAY_PAYFLOW_PASSWORD": "sandbox-secret",
            "DEFRAY_PLUGNPAY_URL": sandbox.url("plugnpay"),
            "DEFRAY_PLUGNPAY_PUBLISHER_NAME": "pnpdemo",
            "DEFRAY_PLUGNPAY_PUBLISHER_PASSWORD": "sandbox-secret",
        },
    )


@pytest.fixture
def durable(engine: Engine) -> Iterator[None]:
    """A database that waits for the disk, as no other test's does."""
    name = engine.url.database
    for value in ("on", "off"):
        with engine.begin() as conn:
            conn.execute(text(f'ALTER DATABASE "{name}" SET synchronous_commit = {value}'))
        if value == "on":
            yield
