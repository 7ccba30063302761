"""E3: what each way in which an exchange can end proves, shown by real servers that behave that way.

Told of both transports: requests, for a call that has its thread to itself, and libcurl, for the calls of a window.
"""

from __future__ import annotations

import datetime
import gc
import gzip
import socket
import ssl
import struct
import sys
import threading
import time
import tracemalloc
import zlib
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path

import certifi
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from gateways import by_requests
from gateways.http import Answered, Exchange, HttpClient, MaybeDone, NotSent
from gateways.window import Window
from rules.errors import SettingsError
from tests.gateways.builders import soon
from tests.gateways.canned import Canned, read_request

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nRESULT=0"


class Scripted:
    """A listener whose every connection runs `script`; counts connections and whole requests."""

    def __init__(self, script: Callable[[Scripted, socket.socket], None]) -> None:
        self.script = script
        self.connections: list[socket.socket] = []
        self.requests: list[bytes] = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.accepting = threading.Thread(target=self._accept, daemon=True)
        self.accepting.start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.connections.append(connection)
            threading.Thread(target=self._run, args=(connection,), daemon=True).start()

    def _run(self, connection: socket.socket) -> None:
        try:
            self.script(self, connection)
        except OSError:
            return

    def take(self, connection: socket.socket) -> bytes:
        """Read one whole request and count it."""
        if request := read_request(connection):
            self.requests.append(request)
        return request

    def close(self) -> None:
        """Stop listening, to the last connection that came, and drop every one."""
        with suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)  # on Linux this alone ends an accept; other systems refuse it
        self.listener.close()
        self.accepting.join()
        for connection in self.connections:
            connection.close()


Serve = Callable[[Callable[[Scripted, socket.socket], None]], Scripted]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Start servers that end with the test."""
    started: list[Scripted] = []

    def start(script: Callable[[Scripted, socket.socket], None]) -> Scripted:
        started.append(Scripted(script))
        return started[-1]

    yield start
    for server in started:
        server.close()


class Carried(HttpClient):
    """A client whose every call is one of a window, and so goes over libcurl."""

    def send(
        self, method: str, path: str, body: bytes, send_by: float, headers: Mapping[str, str] | None = None
    ) -> Exchange:
        """As HttpClient's."""
        return carried(lambda: HttpClient.send(self, method, path, body, send_by, headers))


def carried(call: Callable[[], Exchange]) -> Exchange:
    """Make a call in a window of its own."""
    with Window[None, Exchange](1) as window:
        window.submit(None, call)
    [(_, exchange)] = window.collect(1, 0)
    assert isinstance(exchange, Answered | NotSent | MaybeDone), exchange
    return exchange


@pytest.fixture(params=[HttpClient, Carried], ids=["requests", "libcurl"])
def kind(request: pytest.FixtureRequest) -> type[HttpClient]:
    """A client over each of the transports."""
    chosen: type[HttpClient] = request.param
    return chosen


def client(
    kind: type[HttpClient], port: int, pool_size: int = 4, read_timeout: float = 5.0, scheme: str = "http"
) -> HttpClient:
    """A client of the server on that port."""
    return kind(f"{scheme}://127.0.0.1:{port}/pay", {"X-Test": "1"}, pool_size, 2.0, read_timeout)


def post(kind: type[HttpClient], port: int, body: bytes = b"TRXTYPE=S", read_timeout: float = 5.0) -> Exchange:
    """One exchange with the server on that port."""
    return client(kind, port, read_timeout=read_timeout).post(body, soon())


def reset(connection: socket.socket) -> None:
    """End a connection by RST."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


# ---- answered


def test_answered_over_kept_connections(kind: type[HttpClient], serve: Serve) -> None:
    """E3: two exchanges share one kept connection, and both give status, headers and text."""

    def script(server: Scripted, connection: socket.socket) -> None:
        while server.take(connection):
            connection.sendall(b"HTTP/1.1 200 OK\r\nX-Id: 7\r\nContent-Length: 3\r\n\r\n\xe9=1")

    server = serve(script)
    talker = client(kind, server.port)
    for _ in range(2):
        exchange = talker.post(b"a=b", soon(), {"X-VPS-REQUEST-ID": "r1"})
        assert isinstance(exchange, Answered)
        assert (exchange.status, exchange.headers["x-id"], exchange.text) == (200, "7", "é=1")
    assert (len(server.connections), len(server.requests)) == (1, 2)
    assert b"POST /pay HTTP/1.1" in server.requests[0]
    assert b"X-VPS-REQUEST-ID: r1\r\n" in server.requests[0]


def test_idle_connection_closed_in_good_order(kind: type[HttpClient], serve: Serve) -> None:
    """E3: a kept connection that was closed while idle is seen before the send, and another is opened."""
    closed = threading.Event()

    def script(server: Scripted, connection: socket.socket) -> None:
        server.take(connection)
        connection.sendall(OK)
        connection.shutdown(socket.SHUT_WR)
        closed.set()

    server = serve(script)
    talker = client(kind, server.port)
    for number in (1, 2):
        assert isinstance(talker.post(b"a=b", soon()), Answered)
        assert closed.wait(5)
        assert len(server.requests) == number


def test_environment_is_not_read(kind: type[HttpClient], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """E3: neither a proxy nor a netrc of the environment is used."""
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login eve password s3cret\n")
    with Canned("RESULT=0") as server, Canned("RESULT=0") as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
        talker = kind(server.url, {}, 1, 2.0, 2.0)
        assert isinstance(talker.post(b"a=b", soon()), Answered)
        assert proxy.requests == []
        assert b"Authorization" not in server.requests[0]


# ---- not sent


def test_refused_connection(kind: type[HttpClient]) -> None:
    """E3: a refused connection proves that nothing was sent."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    exchange = post(kind, port)
    assert isinstance(exchange, NotSent)
    assert exchange.code in ("ConnectionRefusedError", "couldnt_connect")


def test_refused_connection_is_tried_again(kind: type[HttpClient]) -> None:
    """E3: what was not sent is sent right there, once the gateway listens."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))

    def answer_one() -> None:
        listener.listen()
        connection, _ = listener.accept()
        with connection:
            read_request(connection)
            connection.sendall(OK)

    threading.Timer(0.05, answer_one).start()
    with listener:
        assert isinstance(post(kind, listener.getsockname()[1]), Answered)


def test_unknown_name(kind: type[HttpClient]) -> None:
    """E3: a name that is not found proves that nothing was sent."""
    talker = kind("https://gateway.invalid/", {}, 1, 1.0, 1.0)
    exchange = talker.post(b"a=b", time.monotonic() + 0.5)
    assert isinstance(exchange, NotSent)
    assert exchange.code in ("gaierror", "couldnt_resolve_host")


def test_no_time_left(kind: type[HttpClient], serve: Serve) -> None:
    """E1: past send_by nothing is sent, not even a connection is opened."""
    server = serve(lambda server, connection: None)
    assert client(kind, server.port).post(b"a=b", time.monotonic()) == NotSent(
        "send_by", "the time to send it by had passed"
    )
    assert server.connections == []


def test_time_runs_out_while_waiting_for_a_connection(serve: Serve) -> None:
    """E1: send_by is looked at again after the wait for a connection, right before the first byte."""
    go_on = threading.Event()

    def script(server: Scripted, connection: socket.socket) -> None:
        while server.take(connection):
            go_on.wait(10)
            connection.sendall(OK)

    server = serve(script)
    talker = client(HttpClient, server.port, pool_size=1)
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(talker.post, b"first", soon())
        _until(lambda: len(server.requests) == 1)
        send_by = time.monotonic() + 0.2
        second = threads.submit(talker.post, b"second", send_by)
        _until(lambda: time.monotonic() > send_by)
        go_on.set()
        assert isinstance(first.result(), Answered)
        assert second.result() == NotSent("send_by", "the time to send it by had passed")
    assert len(server.requests) == 1


def test_time_runs_out_while_others_are_served(serve: Serve) -> None:
    """E1: among many calls, too, send_by is looked at again right before the first byte."""
    go_on = threading.Event()
    server = serve(_never_answer)
    talker = client(HttpClient, server.port)
    with Window[str, Exchange | None](3) as window:
        window.submit("holds the thread", lambda: _until(go_on.is_set))
        send_by = time.monotonic() + 0.2
        window.submit("late", lambda: talker.post(b"late", send_by))
        window.submit("holds it again", lambda: _until(lambda: time.monotonic() > send_by))
        go_on.set()
    assert dict(window.collect(3, 0))["late"] == NotSent("send_by", "the time to send it by had passed")
    assert server.requests == []


def test_no_free_connection(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """E3: a call that gets no connection in time was not sent."""
    monkeypatch.setattr(by_requests, "POOL_SECONDS", 0.01)
    go_on = threading.Event()

    def script(server: Scripted, connection: socket.socket) -> None:
        server.take(connection)
        go_on.wait(10)
        connection.sendall(OK)

    server = serve(script)
    talker = client(HttpClient, server.port, pool_size=1)
    with ThreadPoolExecutor(1) as threads:
        first = threads.submit(talker.post, b"first", soon())
        _until(lambda: len(server.requests) == 1)
        exchange = talker.post(b"second", soon())
        go_on.set()
        assert isinstance(first.result(), Answered)
    assert isinstance(exchange, NotSent)
    assert exchange.code == "EmptyPoolError"


def test_handshake_never_answered(kind: type[HttpClient], serve: Serve) -> None:
    """E3: a TLS handshake that hangs proves that no request was sent, although it ends as a read time-out."""
    server = serve(lambda server, connection: None)
    talker = kind(f"https://127.0.0.1:{server.port}/", {}, 1, 0.1, 0.1)
    exchange = talker.post(b"a=b", time.monotonic() + 0.3)
    assert isinstance(exchange, NotSent)
    assert exchange.code in ("TimeoutError", "operation_timedout", "send_by")


def test_handshake_reset(kind: type[HttpClient], serve: Serve) -> None:
    """E3: a connection that is reset within the handshake carried no request."""

    def script(server: Scripted, connection: socket.socket) -> None:
        assert connection.recv(1000)
        reset(connection)

    server = serve(script)
    exchange = client(kind, server.port, scheme="https").post(b"a=b", time.monotonic() + 0.05)
    assert isinstance(exchange, NotSent)


def certificate(file: Path, address: str) -> Path:
    """A certificate for that IP address which vouches for itself, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, address)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address(address))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    return file


def _over_tls(file: Path, heard: list[bytes]) -> Callable[[Scripted, socket.socket], None]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)

    def script(server: Scripted, connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as secured:
            while request := read_request(secured):
                heard.append(request)
                secured.sendall(OK)

    return script


def test_certificate_that_nobody_vouches_for(kind: type[HttpClient], serve: Serve, tmp_path: Path) -> None:
    """E3: TLS is verified: to a server with a certificate of its own making nothing is sent."""
    heard: list[bytes] = []
    server = serve(_over_tls(certificate(tmp_path / "server.pem", "127.0.0.1"), heard))
    exchange = client(kind, server.port, scheme="https").post(b"ACCT=4111111111111111", time.monotonic() + 0.5)
    assert isinstance(exchange, NotSent)
    assert exchange.code in ("SSLCertVerificationError", "peer_failed_verification")
    assert heard == []


@pytest.mark.parametrize(("address", "requests"), [("127.0.0.1", 2), ("127.0.0.2", 0)])
def test_certificate_of_the_bundle(
    kind: type[HttpClient],
    serve: Serve,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    address: str,
    requests: int,
) -> None:
    """E3: to whom a known authority vouches for it is sent, over one connection; to another host's name it is not."""
    file, heard = certificate(tmp_path / "server.pem", address), list[bytes]()
    monkeypatch.setattr(certifi, "where", lambda: str(file))
    monkeypatch.setattr("requests.adapters.DEFAULT_CA_BUNDLE_PATH", str(file))
    server = serve(_over_tls(file, heard))
    talker = client(kind, server.port, scheme="https")
    patience = 10 if requests else 0.05
    exchanges = [talker.post(b"a=b", time.monotonic() + patience) for _ in range(2)]
    assert {type(exchange) for exchange in exchanges} == {Answered if requests else NotSent}
    assert len(heard) == requests
    assert len(server.connections) == 1 or not requests


# ---- maybe done


def _never_answer(server: Scripted, connection: socket.socket) -> None:
    server.take(connection)


def _reset_after_reading(server: Scripted, connection: socket.socket) -> None:
    server.take(connection)
    reset(connection)


def _close_after_reading(server: Scripted, connection: socket.socket) -> None:
    server.take(connection)
    connection.shutdown(socket.SHUT_RDWR)


def _replying(raw: bytes) -> Callable[[Scripted, socket.socket], None]:
    def script(server: Scripted, connection: socket.socket) -> None:
        server.take(connection)
        connection.sendall(raw)
        connection.shutdown(socket.SHUT_WR)

    return script


HEAD = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    ("script", "code", "libcurls"),
    [
        pytest.param(_never_answer, "TimeoutError", "read_timeout", id="read time-out"),
        pytest.param(_reset_after_reading, "ConnectionResetError", "recv_error", id="reset after the send"),
        pytest.param(_close_after_reading, "RemoteDisconnected", "got_nothing", id="closed without a reply"),
        pytest.param(_replying(b"\x16\x03\x01\r\n"), "BadStatusLine", "unsupported_protocol", id="no HTTP"),
        pytest.param(
            _replying(HEAD + b"Content-Length: 30\r\n\r\nRESULT=0"), "IncompleteRead", "partial_file", id="cut short"
        ),
        pytest.param(
            _replying(HEAD + b"Transfer-Encoding: chunked\r\n\r\n8\r\nRES"),
            "IncompleteRead",
            "partial_file",
            id="cut chunk",
        ),
        pytest.param(
            _replying(HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nRES"),
            "IncompleteRead",
            "recv_error",
            id="broken chunk",
        ),
        pytest.param(
            _replying(HEAD + b"Content-Encoding: gzip\r\nContent-Length: 8\r\n\r\nRESULT=0"),
            "error",
            "bad_content_encoding",
            id="broken gzip",
        ),
        pytest.param(
            _replying(HEAD + b"X: " + b"y" * 70_000 + b"\r\n\r\n"), "LineTooLong", "write_error", id="endless header"
        ),
        pytest.param(_replying(HEAD + b"\r\n" + b"x" * (2 << 20)), "too_long", "too_long", id="endless body"),
        pytest.param(
            _replying(b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n"), "http_302", "http_302", id="redirect"
        ),
    ],
)
def test_maybe_done(
    kind: type[HttpClient], serve: Serve, script: Callable[[Scripted, socket.socket], None], code: str, libcurls: str
) -> None:
    """E3: once a byte was sent, no failure proves anything, and nothing is sent a second time."""
    server = serve(script)
    exchange = post(kind, server.port, read_timeout=0.3)
    assert isinstance(exchange, MaybeDone)
    assert exchange.code == (code if kind is HttpClient else libcurls)
    assert len(server.requests) == 1


def test_reset_while_sending(kind: type[HttpClient], serve: Serve) -> None:
    """E3: a write that fails midway may have been enough for the gateway."""

    def script(server: Scripted, connection: socket.socket) -> None:
        connection.recv(1000)
        reset(connection)

    server = serve(script)
    assert isinstance(post(kind, server.port, body=b"x" * (32 << 20)), MaybeDone)
    assert len(server.connections) == 1


def test_kept_connection_dropped_under_a_request(kind: type[HttpClient], serve: Serve) -> None:
    """E3: a kept connection that is reset when the second request comes proves nothing about that one.

    libcurl then opens another, to send it again, which it is not allowed to: nothing goes over that one.
    """

    def script(server: Scripted, connection: socket.socket) -> None:
        while server.take(connection):
            if len(server.requests) == 2:
                reset(connection)
                return
            connection.sendall(OK)

    server = serve(script)
    talker = client(kind, server.port)
    assert isinstance(talker.post(b"first", soon()), Answered)
    assert isinstance(talker.post(b"2.", soon()), MaybeDone)
    assert isinstance(talker.post(b"third", soon()), Answered)
    assert [request.rpartition(b"\r\n")[2] for request in server.requests] == [b"first", b"2.", b"third"]


def test_kept_connection_ended_under_a_request(kind: type[HttpClient], serve: Serve) -> None:
    """E3: the same where it is closed in good order, which may as well come after the gateway's work."""

    def script(server: Scripted, connection: socket.socket) -> None:
        while server.take(connection):
            if len(server.requests) == 2:
                connection.shutdown(socket.SHUT_RDWR)
                return
            connection.sendall(OK)

    server = serve(script)
    talker = client(kind, server.port)
    assert isinstance(talker.post(b"first", soon()), Answered)
    assert isinstance(talker.post(b"2.", soon()), MaybeDone)
    assert isinstance(talker.post(b"third", soon()), Answered)
    assert [request.rpartition(b"\r\n")[2] for request in server.requests] == [b"first", b"2.", b"third"]


def test_reply_that_trickles(kind: type[HttpClient], serve: Serve) -> None:
    """E1: a reply byte by byte ends with the read time-out as a whole, so that no call outlasts its lease."""
    done = threading.Event()

    def script(server: Scripted, connection: socket.socket) -> None:
        server.take(connection)
        connection.sendall(HEAD + b"Content-Length: 1000\r\n\r\n")
        while not done.wait(0.05):
            connection.sendall(b"x")

    server = serve(script)
    exchange = post(kind, server.port, read_timeout=0.2)
    done.set()
    assert isinstance(exchange, MaybeDone)
    assert exchange.code == "too_slow"


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "gzip, gzip"])
def test_reply_that_swells(kind: type[HttpClient], serve: Serve, encoding: str) -> None:
    """A reply that is small on the wire and 64 MiB unpacked ends at the limit of all replies, and is not unpacked."""
    swollen = bytes(64 << 20)
    packed = zlib.compress(swollen) if encoding == "deflate" else gzip.compress(swollen, 1)
    if "," in encoding:
        packed = gzip.compress(packed)
    del swollen
    server = serve(_replying(HEAD + f"Content-Encoding: {encoding}\r\n\r\n".encode() + packed))
    tracemalloc.start()
    try:
        exchange = post(kind, server.port)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert isinstance(exchange, MaybeDone)
    assert exchange.code == "too_long"
    assert most < 8 << 20


def test_redirect_to_another_port(kind: type[HttpClient], serve: Serve) -> None:
    """E3: a 307 is not followed: nothing arrives where it points to."""
    with Canned("RESULT=0") as elsewhere:
        server = serve(_replying(f"HTTP/1.1 307 Away\r\nLocation: {elsewhere.url}\r\n\r\n".encode()))
        exchange = post(kind, server.port)
        assert exchange == MaybeDone("http_307", "the gateway redirects, which is not followed")
        assert elsewhere.requests == []


def test_nothing_shows_the_body(kind: type[HttpClient], serve: Serve) -> None:
    """B61: a broken status line that repeats the card shows neither it nor the code; a reply shows no text."""
    server = serve(_replying(b"ACCT=4111111111111111&CVV2=123\r\n"))
    exchange = post(kind, server.port)
    assert isinstance(exchange, MaybeDone)
    assert "411111111111" not in repr(exchange)
    assert "123" not in repr(exchange)
    assert "RESULT" not in repr(Answered(200, {}, "RESULT=0"))


def test_nothing_keeps_the_body(kind: type[HttpClient], serve: Serve) -> None:
    """B61: when a call has ended, neither transport holds its body any more, although the connection is kept."""

    def script(server: Scripted, connection: socket.socket) -> None:
        while server.take(connection):
            connection.sendall(OK)

    talker, body = client(kind, serve(script).port), b"ACCT=%d" % 4111111111111111
    before = sys.getrefcount(body)
    assert isinstance(talker.post(body, soon()), Answered)
    gc.collect()
    assert sys.getrefcount(body) == before


# ---- addresses


@pytest.mark.parametrize(
    "url",
    [
        "http://payflowpro.paypal.com/",
        "http://10.0.0.1/",
        "http://127.0.0.1.example.com/",
        "ftp://127.0.0.1/",
        "payflowpro.paypal.com",
        "https://user:s3cret@payflowpro.paypal.com/",
        "",
    ],
)
def test_refused_address(url: str) -> None:
    """E3: card data go over TLS only, or stay on this machine; the error says so and repeats no password."""
    with pytest.raises(SettingsError) as refused:
        HttpClient(url, {}, 1, 1.0, 1.0)
    assert "s3cret" not in str(refused.value)
    assert refused.value.hint


@pytest.mark.parametrize(
    "url", ["https://payflowpro.paypal.com/", "http://127.0.0.1:80/", "http://[::1]:1/", "http://localhost/"]
)
def test_accepted_address(url: str) -> None:
    """E3: https anywhere, http on loopback."""
    HttpClient(url, {}, 1, 1.0, 1.0)


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)
