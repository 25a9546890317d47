import asyncio
import shutil
import ssl
import subprocess
import traceback
from pathlib import Path

import pytest

from alerter.channels.mail import Mail, MailParams, Security
from alerter.notification import Notification, NotificationEvent
from shared.clock import ManualClock
from shared.errors import ChannelDeadError, DeliveryError, DeliveryRefusedError, DeliveryRetriableError
from tests.servers.mail import PASSWORD, USER, MailSink
from tests.unit.alerter.notices import notification

CLOCK = ManualClock()


def params(port: int, *, security: Security = "none", user: str = "", password: str = "") -> MailParams:
    return MailParams(
        host="127.0.0.1",
        port=port,
        security=security,
        user=user,
        password=password,
        sender="Tapewatch <tape@example.org>",
        recipients=("a@example.org", "b@example.org"),
        timeout_s=2.0,
    )


def send(sink: MailSink, *steps: Notification, picture: bytes | None = None) -> list[str]:
    mail = Mail(params(sink.port), now_us=CLOCK.now_us, picture=lambda _: picture)
    references, thread = [], ""
    for step in steps:
        thread = asyncio.run(mail.send(step, thread_ref=thread))
        references.append(thread)
    return references


def test_a_notification_arrives_at_everybody() -> None:
    with MailSink() as sink:
        send(sink, notification())
    (message,) = sink.messages
    assert sink.recipients == [["a@example.org", "b@example.org"]]
    assert message["Subject"] == "HIGH: whale on BTC-USDT (binance)"
    assert message["From"] == "Tapewatch <tape@example.org>"
    assert "A single trade of 1,250,000 USDT" in message.get_content()


def test_an_incident_is_one_thread() -> None:
    with MailSink() as sink:
        references = send(
            sink, notification(), notification(event=NotificationEvent.ESCALATED, sequence=2, note="nobody")
        )
    first, second = sink.messages
    assert references == [first["Message-ID"]] * 2
    assert second["References"] == second["In-Reply-To"] == first["Message-ID"]
    assert second["Message-ID"] != first["Message-ID"]


def test_what_is_sent_twice_has_the_same_id() -> None:
    with MailSink() as sink:
        send(sink, notification())
        send(sink, notification())
    assert sink.messages[0]["Message-ID"] == sink.messages[1]["Message-ID"]


def test_what_opens_brings_its_picture() -> None:
    with MailSink() as sink:
        send(
            sink, notification(), notification(event=NotificationEvent.ESCALATED, sequence=2), picture=b"PNG"
        )
    attached = [[part.get_content() for part in m.iter_attachments()] for m in sink.messages]
    assert attached == [[b"PNG"], []]


def test_nothing_from_outside_becomes_a_header() -> None:
    with MailSink() as sink:
        send(sink, notification(symbol="X\r\nBcc: eve@example.org\r\n-USDT"))
    assert sink.messages[0]["Bcc"] is None
    assert sink.recipients == [["a@example.org", "b@example.org"]]


@pytest.mark.parametrize(
    ("command", "answer", "kind"),
    [
        ("MAIL", "451 4.7.1 greylisted", DeliveryRetriableError),
        ("RCPT", "450 4.2.0 mailbox busy", DeliveryRetriableError),
        ("END", "452 4.3.1 no space", DeliveryRetriableError),
        ("MAIL", "550 5.7.1 you may not send as that", ChannelDeadError),
        ("RCPT", "550 5.1.1 no such user", ChannelDeadError),
        ("END", "554 5.6.0 this looks like spam", DeliveryRefusedError),
    ],
)
def test_answers_of_the_server_have_their_fates(command: str, answer: str, kind: type[DeliveryError]) -> None:
    with MailSink(refusals={command: answer}) as sink, pytest.raises(DeliveryError) as caught:
        send(sink, notification())
    assert type(caught.value) is kind


def test_a_server_that_is_away_is_worth_another_attempt() -> None:
    with MailSink() as sink:
        pass
    with pytest.raises(DeliveryRetriableError):
        send(sink, notification())


def test_a_password_is_never_sent_in_clear() -> None:
    with pytest.raises(ValueError, match="not sent"):
        params(25, user=USER, password=PASSWORD)


def test_without_the_encryption_that_was_asked_for_nothing_is_sent() -> None:
    with MailSink() as sink:
        mail = Mail(params(sink.port, security="starttls"), now_us=CLOCK.now_us)
        with pytest.raises(ChannelDeadError):
            asyncio.run(mail.send(notification(), thread_ref=""))
    assert sink.messages == []


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate and its key for 127.0.0.1, in one file; nobody trusts it of himself."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl makes the certificate, and is not installed")
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    key, certificate = path.with_suffix(".key"), path.with_suffix(".crt")
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=sink"]
    names = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*command, *names], check=True, capture_output=True)
    path.write_bytes(key.read_bytes() + certificate.read_bytes())
    return path


def tls_sink(certificate: Path) -> MailSink:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return MailSink(tls=context)


def test_a_login_goes_over_an_encrypted_connection(certificate: Path) -> None:
    trusting = ssl.create_default_context(cafile=str(certificate.with_suffix(".crt")))
    with tls_sink(certificate) as sink:
        secured = params(sink.port, security="starttls", user=USER, password=PASSWORD)
        mail = Mail(secured, now_us=CLOCK.now_us, context=trusting)
        asyncio.run(mail.send(notification(), thread_ref=""))
    assert sink.is_encrypted == [True]


def test_a_certificate_that_nobody_vouches_for_is_refused(certificate: Path) -> None:
    with tls_sink(certificate) as sink:
        mail = Mail(params(sink.port, security="starttls", user=USER, password=PASSWORD), now_us=CLOCK.now_us)
        with pytest.raises(DeliveryRetriableError, match="CERTIFICATE_VERIFY_FAILED"):
            asyncio.run(mail.send(notification(), thread_ref=""))
    assert sink.messages == []


def test_a_wrong_password_is_the_end_of_the_channel_and_is_not_shown(certificate: Path) -> None:
    trusting = ssl.create_default_context(cafile=str(certificate.with_suffix(".crt")))
    with tls_sink(certificate) as sink:
        secured = params(sink.port, security="starttls", user=USER, password="wrong pass")
        mail = Mail(secured, now_us=CLOCK.now_us, context=trusting)
        with pytest.raises(ChannelDeadError, match="535") as caught:
            asyncio.run(mail.send(notification(), thread_ref=""))
    told = "".join(traceback.format_exception(caught.value)) + repr(secured)
    assert "wrong pass" not in told
