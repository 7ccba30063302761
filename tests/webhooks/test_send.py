"""Issue 6: one call: to which address it goes, by which name it is known there, and when it ends."""

from __future__ import annotations

import datetime
import socket
import ssl
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.webhooks.conftest import Receiver, receiving
from webhooks import address
from webhooks.send import Answer, Limits, send

HERE: Final = Limits(allow_private=True)


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of shop.example, vouching for itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "shop.example")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("shop.example")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path_factory.mktemp("tls") / "server.pem"
    file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return file


@pytest.fixture
def encrypted(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    """An app behind TLS, whose certificate this machine trusts."""
    monkeypatch.setattr("requests.adapters.DEFAULT_CA_BUNDLE_PATH", str(certificate))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with receiving(context) as kept:
        yield kept


Names = Callable[..., list[str]]


@pytest.fixture
def leads(monkeypatch: pytest.MonkeyPatch) -> Names:
    """Let every name lead to these addresses; gives the names that are asked for from then on."""

    known = socket.getaddrinfo

    def to(*found: str) -> list[str]:
        asked: list[str] = []

        def resolve(host: str, port: int, *how: Any, **more: Any) -> Sequence[object]:
            if host in found:
                return known(host, port, *how, **more)
            asked.append(host)
            return [(2, 1, 6, "", (one, port)) for one in found]

        monkeypatch.setattr("webhooks.address.socket.getaddrinfo", resolve)
        return asked

    return to


def at(receiver: Receiver, name: str = "shop.example", limits: Limits = HERE) -> Answer:
    """What an app behind TLS answers by this name."""
    return send(f"https://{name}:{receiver.port}/hooks", {}, "{}", limits)


def test_encrypted(encrypted: Receiver, leads: Names) -> None:
    """The connection goes to the address, looked up once; SNI, Host and the certificate's check go by the name."""
    asked = leads("127.0.0.1")
    assert at(encrypted).status == 204
    assert (asked, encrypted.names) == (["shop.example"], ["shop.example"])
    assert encrypted.got[0][0]["host"] == f"shop.example:{encrypted.port}"


def test_a_dot_at_the_end(encrypted: Receiver, leads: Names) -> None:
    """A name that ends with a dot is the same name: to SNI and the certificate's check as well as to SSRF's."""
    leads("127.0.0.1")
    assert at(encrypted, "shop.example.").status == 204
    assert encrypted.names == ["shop.example"]
    assert not isinstance(address.check("https://shop.example./x", False), str)


def test_a_name_that_leads_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is refused at registration, and said in words at delivery."""

    def unknown(*_: object, **_more: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    monkeypatch.setattr("webhooks.address.socket.getaddrinfo", unknown)
    assert not isinstance(address.check("https://shop.example/x", False), str)
    assert send("https://shop.example/x", {}, "{}", HERE).said == "the name leads nowhere"


def test_another_name(encrypted: Receiver, leads: Names) -> None:
    """A certificate of another name, or one that nobody vouches for, gets nothing."""
    leads("127.0.0.1")
    assert "certificate" in at(encrypted, "other.example").said
    assert encrypted.got == []


@pytest.mark.parametrize("how", ["hang", "drip"])
@pytest.mark.parametrize("by", ["receiver", "encrypted"])
def test_no_end(request: pytest.FixtureRequest, leads: Names, by: str, how: str) -> None:
    """A clock ends an answer that does not come, or comes drop by drop, under TLS, too."""
    receiver: Receiver = request.getfixturevalue(by)
    setattr(receiver, how, True)
    leads("127.0.0.1")
    soon = replace(HERE, total=0.4)
    answer = at(receiver, limits=soon) if by == "encrypted" else send(receiver.url, {}, "{}", soon)
    assert answer == Answer(None, answer.milliseconds, "no answer within 0.4 seconds")
    assert not receiver.dripped_out


def test_some_address_is_private(receiver: Receiver, leads: Names) -> None:
    """SSRF: a name one of whose addresses is not public is refused, whichever comes first."""
    url = f"https://shop.example:{receiver.port}/hooks"
    for found in (("93.184.216.34", "127.0.0.1"), ("127.0.0.1", "93.184.216.34"), ("::ffff:169.254.169.254",)):
        leads(*found)
        assert not isinstance(address.check(url, False), str)
        assert "not public" in send(url, {}, "{}", Limits()).said
    assert receiver.got == []


def test_the_first_address_that_answers(encrypted: Receiver, leads: Names) -> None:
    """Of several addresses the next is tried where one takes no connection."""
    leads("127.0.0.2", "127.0.0.1")
    assert at(encrypted).status == 204


def test_bad_answers(receiver: Receiver) -> None:
    """A redirect is not followed, a closed port is said in words."""
    receiver.status, receiver.headers = 302, {"Location": receiver.url}
    assert send(receiver.url, {}, "{}", HERE).status == 302
    assert len(receiver.got) == 1
    assert send("http://127.0.0.1:9/", {}, "{}", HERE).status is None


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "127.1", "0", "2130706433", "017700000001", "0x7f000001", "0x7f.1", "0177.0.0.1", "localhost",
     "10.1.2.3", "100.64.0.1", "169.254.169.254", "224.0.0.1", "255.255.255.255", "192.0.2.1", "[::]", "[::1]",
     "0.0.0.0", "[::127.0.0.1]", "[::ffff:127.0.0.1]", "[::ffff:10.0.0.1]", "[2002:7f00:1::]", "[64:ff9b::7f00:1]",
     "[64:ff9b:1::a00:1]", "[fd00::1]", "[fec0::1]", "[fe80::1]", "[fe80::1%25eth0]"],
)  # fmt: skip
def test_private(host: str) -> None:
    """SSRF: no private, loopback or link-local address, however it is written: at registration and at delivery."""
    assert not isinstance(address.check(f"https://{host}/x", False), str)
    answer = send(f"https://{host}/x", {}, "{}", Limits())
    assert answer.status is None
    assert "not public" in answer.said
    assert send(f"http://{host}/x", {}, "{}", Limits()).said == "only https is allowed"


def test_rebinding(receiver: Receiver, leads: Names) -> None:
    """A name that was public when it was registered and leads here now is not connected to."""
    leads("93.184.216.34")
    url = f"https://shop.example:{receiver.port}/hooks"
    assert address.check(url, False) == url
    leads("127.0.0.1")
    assert "not public" in send(url, {}, "{}", Limits()).said
    assert receiver.got == []
