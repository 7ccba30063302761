"""How the sandbox's tests talk to it: both protocols over plain sockets, written out as the gateways' guides do."""

import socket
from dataclasses import dataclass
from types import TracebackType
from typing import Self
from urllib.parse import parse_qsl, unquote, urlencode

VISA = "4111111111111111"
OTHER_VISA = "4012888888881881"
PAYFLOW_LOGIN = {"USER": "sandbox", "VENDOR": "sandbox", "PARTNER": "PayPal", "PWD": "sandbox-secret"}
PAYFLOW_CARD = {
    "ACCT": VISA,
    "EXPDATE": "1230",
    "CVV2": "123",
    "BILLTOSTREET": "123 Main St.",
    "BILLTOZIP": "12345",
}
PLUGNPAY_LOGIN = {"publisher-name": "pnpdemo", "publisher-password": "sandbox-secret"}
PLUGNPAY_CARD = {
    "card-name": "Ada Example",
    "card-number": VISA,
    "card-exp": "12/29",
    "card-cvv": "123",
    "card-address1": "1 Test St",
    "card-zip": "10001",
}
PATIENCE = 5.0


class NoAnswer(Exception):
    """The connection ended before a whole answer was there; `received` is what came."""

    def __init__(self, how: str, received: bytes = b"") -> None:
        super().__init__(how)
        self.how = how
        self.received = received


@dataclass(frozen=True)
class HttpAnswer:
    """An HTTP answer taken apart."""

    status: int
    headers: dict[str, str]
    body: bytes


class Line:
    """One connection to the sandbox, kept alive over several requests."""

    def __init__(self, base_url: str) -> None:
        host, _, port = base_url.removeprefix("http://").rstrip("/").partition(":")
        self._socket = socket.create_connection((host, int(port)), timeout=PATIENCE)

    def send(self, path: str, body: bytes, headers: dict[str, str]) -> None:
        """Send a POST without waiting for its answer."""
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        head = f"POST {path} HTTP/1.1\r\nHost: gateway\r\n{lines}Content-Length: {len(body)}\r\n\r\n"
        self._socket.sendall(head.encode() + body)

    def read(self, seconds: float = PATIENCE) -> HttpAnswer:
        """The next answer. Raises NoAnswer ("reset", "closed", "late") if there is none, or only a part."""
        self._socket.settimeout(seconds)
        received = b""
        try:
            while b"\r\n\r\n" not in received:
                received += self._more(received)
            head, _, body = received.partition(b"\r\n\r\n")
            lines = head.decode().split("\r\n")
            headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines[1:])}
            while len(body) < int(headers["content-length"]):
                body += self._more(received)
        except ConnectionResetError:
            raise NoAnswer("reset", received) from None
        except TimeoutError:
            raise NoAnswer("late", received) from None
        return HttpAnswer(int(lines[0].split()[1]), headers, body)

    def _more(self, received: bytes) -> bytes:
        piece = self._socket.recv(65536)
        if not piece:
            raise NoAnswer("closed", received)
        return piece

    def closed_by_peer(self) -> bool:
        """Whether the sandbox closed this connection in good order."""
        return self._socket.recv(1) == b""

    def close(self) -> None:
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def payflow_body(**values: str) -> bytes:
    """An NVP body, every value with its length tag."""
    complete = {"TENDER": "C", "VERBOSITY": "HIGH"} | PAYFLOW_LOGIN | values
    return "&".join(f"{name}[{len(value)}]={value}" for name, value in complete.items()).encode()


def payflow_headers(request_id: str) -> dict[str, str]:
    """What Payflow asks for beside the length."""
    return {"Content-Type": "text/namevalue", "X-VPS-REQUEST-ID": request_id, "X-VPS-CLIENT-TIMEOUT": "45"}


def read_payflow(body: bytes) -> dict[str, str]:
    """The fields of a Payflow answer."""
    return dict(pair.split("=", 1) for pair in body.decode().split("&"))


def payflow(base_url: str, request_id: str, **values: str) -> dict[str, str]:
    """Send one transaction on a connection of its own and return the answer's fields."""
    with Line(base_url) as line:
        line.send("/", payflow_body(**values), payflow_headers(request_id))
        return read_payflow(line.read().body)


def sale(base_url: str, request_id: str, amount: str = "118.50", **values: str) -> dict[str, str]:
    """A Payflow sale; the reference is the request id."""
    fields = {"TRXTYPE": "S", "AMT": amount, "CURRENCY": "USD", "CUSTREF": request_id} | PAYFLOW_CARD | values
    return payflow(base_url, request_id, **fields)


def plugnpay_body(**values: str) -> bytes:
    """A form body; underscores in names stand for hyphens, except in orderID and acct_code."""
    named = {name if name.startswith("acct_") else name.replace("_", "-"): value for name, value in values.items()}
    return urlencode(PLUGNPAY_LOGIN | named).encode()


PLUGNPAY_HEADERS = {"Content-Type": "application/x-www-form-urlencoded"}
PLUGNPAY_PATH = "/payment/pnpremote.cgi"


def read_plugnpay(body: bytes) -> dict[str, str]:
    """The fields of a Plug'n Pay answer: split first, then decoded."""
    pairs = [pair.partition("=") for pair in body.decode().strip().split("&")]
    names = [unquote(name) for name, _, _ in pairs]
    assert len(set(names)) == len(names), "a field came twice"
    return {unquote(name): unquote(value) for name, _, value in pairs}


def plugnpay(base_url: str, **values: str) -> dict[str, str]:
    """Send one transaction on a connection of its own and return the answer's fields."""
    with Line(base_url) as line:
        line.send(PLUGNPAY_PATH, plugnpay_body(**values), PLUGNPAY_HEADERS)
        return read_plugnpay(line.read().body)


def authpostauth(base_url: str, order_id: str, amount: str = "125.50", **values: str) -> dict[str, str]:
    """A Plug'n Pay sale."""
    card = {name.replace("-", "_"): value for name, value in PLUGNPAY_CARD.items()}
    fields = {"mode": "auth", "authtype": "authpostauth", "orderID": order_id, "card_amount": amount, "currency": "usd"}
    return plugnpay(base_url, **(card | fields | values))


def records(answer: dict[str, str]) -> list[dict[str, str]]:
    """The records a00001 ... of a query, decoded a second time."""
    return [dict(parse_qsl(answer[name], keep_blank_values=True)) for name in sorted(answer) if name.startswith("a0")]
