"""`defray up`: everything on one machine, in order, until Ctrl-C."""

import json
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from local import topology
from local.account import keep, remembered
from local.interrupts import Interrupts, watched_interrupts
from local.lock import OwnerLock
from local.ports import LOOPBACK, free_port
from local.postgres import Postgres, say_on_stderr
from local.processes import ChildFailed, Ended, Supervisor
from local.valkey import Valkey

FLOWER_USER = "defray"

Say = Callable[[str], None]

# Whom the sandbox knows unless told otherwise, and a routing that lets all five gateways be seen at work.
_SANDBOX_ACCOUNTS = {
    "DEFRAY_GATEWAYS": "payflow,plugnpay,stripe,paypal,authorizenet",
    "DEFRAY_CARD_ROUTES": "mastercard=plugnpay,amex=stripe,discover=authorizenet,visa/USD/>=200.00=paypal,*=payflow",
    "DEFRAY_PAYFLOW_USER": "sandbox",
    "DEFRAY_PAYFLOW_VENDOR": "sandbox",
    "DEFRAY_PAYFLOW_PARTNER": "PayPal",
    "DEFRAY_PAYFLOW_PASSWORD": "sandbox-secret",
    "DEFRAY_PLUGNPAY_PUBLISHER_NAME": "pnpdemo",
    "DEFRAY_PLUGNPAY_PUBLISHER_PASSWORD": "sandbox-secret",
    "DEFRAY_STRIPE_SECRET_KEY": "sandbox-secret",
    "DEFRAY_STRIPE_ACCOUNT": "acct_sandbox",
    "DEFRAY_PAYPAL_CLIENT_ID": "sandbox",
    "DEFRAY_PAYPAL_CLIENT_SECRET": "sandbox-secret",
    "DEFRAY_PAYPAL_ACCOUNT": "paypal-sandbox",
    "DEFRAY_AUTHORIZENET_LOGIN_ID": "sandbox",
    "DEFRAY_AUTHORIZENET_TRANSACTION_KEY": "sandbox-secret",
}
_SANDBOX_PATHS = {
    "DEFRAY_PAYFLOW_URL": "/payflow",
    "DEFRAY_PLUGNPAY_URL": "/payment/pnpremote.cgi",
    "DEFRAY_STRIPE_URL": "/stripe",
    "DEFRAY_PAYPAL_URL": "/paypal",
    "DEFRAY_AUTHORIZENET_URL": "/authorizenet/xml/v1/request.api",
}
_LOOK_EVERY = 0.5


@dataclass(frozen=True)
class Running:
    """What is up: the environment that reaches it, the addresses for people, the news of its children."""

    environment: Mapping[str, str] = field(repr=False)
    addresses: Mapping[str, str]
    ended: Callable[[], list[Ended]] = field(repr=False)

    def check(self) -> None:
        """Raise ChildFailed where a child ended since this was last asked."""
        if news := self.ended():
            raise ChildFailed("\n".join(map(str, news)))


def run(
    home: Path,
    environment: Mapping[str, str],
    job: Callable[[Running], bool],
    *,
    once: bool,
    say: Say = say_on_stderr,
) -> int:
    """Bring everything up, do the main job, stay up until Ctrl-C (`once`: end after the job); return an exit code.

    0 where the job says that all went well. Raises LocalError as `stack` does.
    """
    went_well = False
    try:
        with watched_interrupts() as interrupts, stack(home, environment, interrupts, say) as running:
            went_well = job(running)
            if not once:
                for name, address in running.addresses.items():
                    say(f"{name:8} {address}")
                say("Everything stays up until Ctrl-C.")
                stay_up(running, say)
    except KeyboardInterrupt:
        say("Stopped.")
    return 0 if went_well else 1


def stay_up(running: Running, say: Say) -> None:
    """Report every child that ends, until Ctrl-C."""
    while True:
        for news in running.ended():
            say(f"{news}\nIt is not started again: press Ctrl-C and see what is wrong.")
        time.sleep(_LOOK_EVERY)


@contextmanager
def stack(home: Path, environment: Mapping[str, str], interrupts: Interrupts, say: Say) -> Iterator[Running]:
    """Keep the parts running while the block runs; stop all of them, and nothing else, after it.

    `environment` says what is not to be embedded (DEFRAY_DATABASE_URL, DEFRAY_REDIS_URL) and is passed on to
    every child. Raises LocalError where the home is up already or a part doesn't start.
    """
    home = home.resolve()
    with ExitStack() as parts:
        try:
            own(home, parts)
            known = {**environment, "DEFRAY_HOME": str(home)}
            Supervisor(home, known, say).end_leftovers()
            known |= databases(home, environment, parts, say)
            place = choose_place(home, environment)
            known |= gateways(place, environment)
            supervisor = Supervisor(home, known, say)
            parts.callback(lambda: supervisor.stop(interrupts.hurry))
            start(supervisor, processes(place, environment), say)
            publish(home, known, environment, parts)
            yield Running(known, addresses(place, environment), supervisor.ended)
        finally:
            interrupts.begin_the_end()


def own(home: Path, parts: ExitStack) -> None:
    """Be the only one who runs this home."""
    lock = OwnerLock(home / "up", f"`defray up` of {home}")
    lock.acquire()
    parts.callback(lock.release)


def databases(home: Path, environment: Mapping[str, str], parts: ExitStack, say: Say) -> dict[str, str]:
    """Start the servers that the environment doesn't name; return where they are."""
    found = {}
    if not environment.get("DEFRAY_DATABASE_URL"):
        postgres = Postgres(home, say)
        postgres.start()
        parts.callback(postgres.stop)
        found["DEFRAY_DATABASE_URL"] = postgres.url
    if not environment.get("DEFRAY_REDIS_URL"):
        valkey = Valkey(home, say)
        valkey.start()
        parts.callback(valkey.stop)
        found["DEFRAY_REDIS_URL"] = valkey.url
    return found


def choose_place(home: Path, environment: Mapping[str, str]) -> topology.Place:
    """Take the usual ports (the console's may be given), or free ones where those are taken."""
    wanted = environment.get("DEFRAY_WEB_PORT") or topology.WEB_PORT
    return topology.Place(
        home,
        flower_port=free_port(topology.FLOWER_PORT),
        web_port=free_port(int(wanted)),
        sandbox_port=free_port(topology.SANDBOX_PORT),
    )


def has_own_gateways(environment: Mapping[str, str]) -> bool:
    """Say whether cards are charged somewhere else than at the sandbox."""
    return bool(environment.get("DEFRAY_GATEWAYS"))


def gateways(place: topology.Place, environment: Mapping[str, str]) -> dict[str, str]:
    """Point the gateways at the sandbox, unless the environment names gateways of one's own."""
    if has_own_gateways(environment):
        return {}
    urls = {name: f"http://{LOOPBACK}:{place.sandbox_port}{path}" for name, path in _SANDBOX_PATHS.items()}
    return _SANDBOX_ACCOUNTS | urls


def processes(place: topology.Place, environment: Mapping[str, str]) -> list[topology.Process]:
    """Everything to be kept running; draws Flower's password where there is none yet."""
    password_file = flower_password_file(place.home)
    remembered(password_file, lambda: secrets.token_urlsafe(16))
    wanted = [
        *(() if has_own_gateways(environment) else (topology.sandbox(place),)),
        *topology.workers(),
        topology.beat(place),
        _flower(place, password_file, environment),
        _console(place, environment),
    ]
    if (environment.get("DEFRAY_LOG_LEVEL") or "INFO") in ("DEBUG", "INFO"):
        return wanted
    # With fewer lines in their logs they don't say that they are ready; that they run must do.
    return [replace(process, ready_text=None) for process in wanted]


def _console(place: topology.Place, environment: Mapping[str, str]) -> topology.Process:
    """The console where one wants it, with links to this Flower unless to another one."""
    web = topology.web(replace(place, address=environment.get("DEFRAY_WEB_ADDRESS") or place.address))
    flower = environment.get("DEFRAY_WEB_FLOWER_URL") or _flower_url(place)
    return replace(web, environment={**web.environment, "DEFRAY_WEB_FLOWER_URL": flower})


def _flower(place: topology.Place, password_file: Path, environment: Mapping[str, str]) -> topology.Process:
    """Flower, with links to this console unless to another one."""
    flower = topology.flower(place, password_file)
    console = environment.get("DEFRAY_WEB_URL") or _web_url(place)
    return replace(flower, environment={**flower.environment, "DEFRAY_WEB_URL": console})


def start(supervisor: Supervisor, wanted: Iterable[topology.Process], say: Say) -> None:
    """Bring the tables up to date, then start every process."""
    say("Bringing the tables up to date ...")
    supervisor.run(topology.migration())
    say("Starting the sandbox, the workers, beat, Flower and the console ...")
    supervisor.start(*wanted)


def flower_password_file(home: Path) -> Path:
    """The file that a person reads Flower's password from."""
    return home / "flower.password"


def _flower_url(place: topology.Place) -> str:
    return f"http://{LOOPBACK}:{place.flower_port}"


def _web_url(place: topology.Place) -> str:
    return f"http://{LOOPBACK}:{place.web_port}"


def addresses(place: topology.Place, environment: Mapping[str, str]) -> dict[str, str]:
    """What a person opens in a browser."""
    flower = _flower_url(place)
    found = {
        "Console": f"{_web_url(place)}/",
        "Flower": f"{flower} (user {FLOWER_USER}, password in {flower_password_file(place.home)})",
    }
    if not has_own_gateways(environment):
        found["Sandbox"] = f"http://{LOOPBACK}:{place.sandbox_port}/sandbox/"
    return found


def publish(home: Path, known: Mapping[str, str], given: Mapping[str, str], parts: ExitStack) -> None:
    """Let other commands of this home find what is up (see `environment_of`), for as long as it is."""
    file = home / "running.json"
    keep(file, json.dumps({name: value for name, value in known.items() if given.get(name) != value}))
    parts.callback(lambda: file.unlink(missing_ok=True))


def environment_of(home: Path) -> dict[str, str]:
    """Return the variables that reach what `defray up` keeps running on this home; empty where it isn't up."""
    try:
        found: dict[str, str] = json.loads((home / "running.json").read_text())
    except FileNotFoundError:
        return {}
    return found
