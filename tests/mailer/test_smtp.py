"""E3 for mail: what a mail server did, and what that proves, with a real server over loopback."""

from __future__ import annotations

import datetime
import socket
import ssl
from dataclasses import replace
from email.message import EmailMessage
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from mailer.letter import letter
from mailer.smtp import NotSent, Refused, Sent, Server, send, server_at
from rules.emails import check_email
from rules.errors import Fault
from tests.mailer.server import serving

AT = datetime.datetime(2026, 3, 1, 12, tzinfo=datetime.UTC)


def mail(to: str = "ann@example.org") -> EmailMessage:
    return letter("office@example.com", to, "Receipt 7", "Thank you.", "<m1@example.com>", AT, "receipt-7.pdf", b"%PDF")


def at(port: int, user: str = "") -> Server:
    return server_at(f"smtp://{user}127.0.0.1:{port}")


def test_a_mail_is_taken() -> None:
    """The words, the paper and the Message-ID arrive as they were given."""
    with serving() as server:
        assert isinstance(send(at(server.port), mail()), Sent)
    [kept] = server.kept
    assert (kept["To"], kept["Subject"], kept["Message-ID"]) == ("ann@example.org", "Receipt 7", "<m1@example.com>")
    [paper] = kept.iter_attachments()
    assert (paper.get_filename(), paper.get_content()) == ("receipt-7.pdf", b"%PDF")


def test_a_no_for_good_and_a_no_for_now() -> None:
    """5xx is for good, 4xx is for now; what the server said is kept."""
    with serving() as server:
        server.to_rcpt = ["550 no such mailbox", "451 come again"]
        gone = send(at(server.port), mail())
        assert gone == Refused(550, "no such mailbox")
        assert gone.for_good
        later = send(at(server.port), mail())
        assert later == Refused(451, "come again")
        assert not later.for_good
        server.to_data = ["552 too large"]
        assert send(at(server.port), mail()) == Refused(552, "too large")
    assert server.kept == []


def test_nobody_there() -> None:
    """Nothing listens: certainly not sent."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        assert isinstance(send(at(taken.getsockname()[1]), mail()), NotSent)


def test_a_connection_that_drops_after_the_mail_was_handed_over() -> None:
    """E3: the mail came, its answer did not: it is not known to be sent."""
    with serving() as server:
        server.drop = 1
        assert isinstance(send(at(server.port), mail()), NotSent)
    assert len(server.kept) == 1


def test_the_password_goes_to_the_server_and_nowhere_else() -> None:
    """C3: neither a repr nor what a refused log-in says holds it."""
    with serving(login=True) as server:
        right = at(server.port, "office:open%20sesame@")
        assert isinstance(send(right, mail()), Sent)
        assert server.logins == [("office", "open sesame")]
        wrong = send(replace(right, password="tell nobody"), mail())
        assert isinstance(wrong, NotSent)
        assert "tell nobody" not in repr(wrong)
        assert "open sesame" not in repr(right)


def test_which_connection_is_encrypted() -> None:
    """Over the network always; smtp:// is plain on loopback alone."""
    assert server_at("smtp://mail.example.org") == Server("mail.example.org", 587, tls=False, starttls=True)
    assert server_at("smtps://mail.example.org") == Server("mail.example.org", 465, tls=True, starttls=False)
    assert server_at("smtp://localhost:2525") == Server("localhost", 2525, tls=False, starttls=False)
    assert server_at("smtp://[::1]:2525").starttls is False


def test_a_server_that_offers_no_encryption_gets_nothing() -> None:
    """Where STARTTLS is a must, neither the log-in nor the mail is said in the clear."""
    with serving(login=True) as server:
        plain = replace(at(server.port, "office:open%20sesame@"), starttls=True)
        assert isinstance(send(plain, mail()), NotSent)
    assert (server.logins, server.kept) == ([], [])


def test_a_certificate_is_verified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that nobody vouches for gets nothing; one that is trusted gets the mail."""
    certificate = _certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with serving(tls=context) as server:
        encrypted = server_at(f"smtps://127.0.0.1:{server.port}")
        assert isinstance(send(encrypted, mail()), NotSent)
        assert server.kept == []
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        assert isinstance(send(encrypted, mail()), Sent)


@pytest.mark.parametrize("address", ["ann@example.org", "a.b+c@sub.example.co", " ann@example.org "])
def test_addresses(address: str) -> None:
    """Outer blanks go, the rest stays."""
    assert check_email("address", address) == address.strip()


@pytest.mark.parametrize(
    "address",
    [
        "",
        None,
        "ann",
        "ann@example",
        "ann@example.org\nBcc: eve@example.org",
        "ann@example.org\r\n",
        "ann@example.org, eve@example.org",
        "Ann <ann@example.org>",
        "ann@-example.org",
        f"{'a' * 65}@example.org",
        f"a@{'b' * 60}.{'c' * 60}.{'d' * 60}.{'e' * 60}.{'f' * 60}.org",
        "änn@example.org",
    ],
)
def test_what_is_no_address(address: object) -> None:
    """Header injection ends here: one line, one address, with a word on how to put it right."""
    fault = check_email("address", address)
    assert isinstance(fault, Fault)
    assert fault.remedy


def test_a_header_with_a_line_break_is_never_made() -> None:
    """Even where no edge had looked, the letter would not be written."""
    with pytest.raises(ValueError, match="linefeed"):
        mail("ann@example.org\nBcc: eve@example.org")


def _certificate(folder: Path) -> Path:
    """A certificate of one's own for 127.0.0.1, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mail of a test")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / "certificate.pem"
    path.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return path
