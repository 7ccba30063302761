"""The vault's keys change while web process and worker run: both go on with the new one, and none is started again."""

from __future__ import annotations

import json
from typing import Any

import requests
from click.testing import CliRunner

from books import api_keys, clock
from cli.main import defray
from local.ports import LOOPBACK, answers, free_port
from rules.apps import Scope
from tests.faults.plant import Plant, until, visa
from vault import Keyring

APP_KEY = "dfk_live_keys-change"


def command(plant: Plant, *words: str) -> Any:
    """What an administrator's command says."""
    done = CliRunner().invoke(defray, ["vault", *words, "--by", "ada", "--json"], env=plant.environment)
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_keys_change_under_processes_that_run(plant: Plant) -> None:
    """C1: cards entered before, between and after are charged; the old key is retired, and nobody is started anew."""
    port = free_port()
    plant.environment |= {"DEFRAY_WEB_PORT": str(port)}
    web, worker = plant.start("web", ("python", "-m", "web")), plant.worker(concurrency=1)
    pool = {child.pid for child in worker.children()}
    with plant.engine.begin() as conn:
        api_keys.add(conn, "shop", APP_KEY, tuple(Scope), None, clock.now(conn), "ada")
    plant.bill({f"I-{place}": ("C-1", 1000) for place in range(4)})
    plant.cards += visa(4)
    until(lambda: answers(port), "the web process listens")

    def ask(path: str, **said: object) -> Any:
        headers = {"Authorization": f"Bearer {APP_KEY}", "Idempotency-Key": f"{path} {said}"[-100:]}
        answer = requests.post(f"http://{LOOPBACK}:{port}/v1/{path}", json=said, headers=headers, timeout=30)
        assert answer.ok, answer.text
        return answer.json()

    def enter(place: int) -> str:
        return str(ask("cards", number=plant.cards[place], expiry="12/2039", name="Ann Example")["token"])

    def pay(place: int, token: str) -> None:
        about = {"customer": "C-1", "method": "credit_card", "currency": "USD", "amount_minor": 1000}
        ask("payments", **about, invoices=[f"I-{place}"], card_token=token)

    def sealed_by(token: str) -> str:
        [row] = plant.rows("SELECT key_id FROM card_vault WHERE token = :token", token=token)
        return str(row.key_id)

    pay(0, enter(0))
    plant.wait_for_payments(posted=1)
    before = enter(1)
    old = sealed_by(before)
    new = command(plant, "rotate")["key"]
    between = enter(2)
    assert (sealed_by(before), sealed_by(between)) == (new, new)
    pay(1, before)
    pay(2, between)
    plant.wait_for_payments(posted=3)
    plant.do("UPDATE vault_keys SET current_since = current_since - interval '1 hour'")  # the margin is over
    assert command(plant, "retire", "--yes")["retired"] == [old]
    assert Keyring.load(plant.settings.key_file).ids == [new]
    pay(3, enter(3))
    plant.wait_for_payments(posted=4)
    assert (web.process.poll(), worker.process.poll()) == (None, None)
    assert {child.pid for child in worker.children()} == pool
    plant.check()
