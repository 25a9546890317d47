import asyncio
import hashlib
import hmac
import json
import traceback
from collections.abc import Iterator

import pytest

from alerter.channels.webhook import Webhook, WebhookParams
from shared.clock import ManualClock
from shared.codec import decode
from shared.errors import ChannelDeadError, DeliveryError, DeliveryRefusedError, DeliveryRetriableError
from tests.servers.receiver import Receiver
from tests.servers.stand_in import Fault, FaultKind
from tests.unit.alerter.notices import INCIDENT, notification

SECRET = "shared-secret"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as server:
        yield server


def send(server: Receiver, *, url: str | None = None, timeout_s: float = 2.0) -> str:
    async def once() -> str:
        params = WebhookParams(url=url or server.url, secret=SECRET, timeout_s=timeout_s)
        webhook = Webhook(params, now_us=ManualClock(1_790_000_000_500_000).now_us)
        try:
            return await webhook.send(notification(), thread_ref="")
        finally:
            await webhook.close()

    return asyncio.run(once())


def test_a_receiver_can_tell_that_it_is_ours_and_when_it_was_sent(receiver: Receiver) -> None:
    assert send(receiver) == INCIDENT
    (request,) = receiver.requests
    headers = {name.lower(): value for name, value in request.headers.items()}
    assert headers["x-tapewatch-timestamp"] == "1790000000"
    expected = hmac.new(SECRET.encode(), b"v1:1790000000:" + request.body, hashlib.sha256).hexdigest()
    assert headers["x-tapewatch-signature"] == f"v1={expected}"
    assert headers["idempotency-key"] == "n1"
    assert headers["content-type"] == "application/json"


def test_the_body_is_the_whole_notification(receiver: Receiver) -> None:
    send(receiver)
    assert decode(receiver.requests[0].body, type(notification())) == notification()


def test_a_word_about_the_system_is_signed_too(receiver: Receiver) -> None:
    async def tell() -> None:
        webhook = Webhook(WebhookParams(url=receiver.url, secret=SECRET), now_us=ManualClock().now_us)
        await webhook.tell("a channel is dead")
        await webhook.close()

    asyncio.run(tell())
    assert json.loads(receiver.requests[0].body) == {"notice": "a channel is dead"}
    assert "X-Tapewatch-Signature".lower() in {name.lower() for name in receiver.requests[0].headers}


@pytest.mark.parametrize(
    "fault",
    [
        Fault(FaultKind.SERVER_ERROR, status=500),
        Fault(FaultKind.SERVER_ERROR, status=503),
        Fault(FaultKind.SERVER_ERROR, status=408),
        Fault(FaultKind.NO_ANSWER),
        Fault(FaultKind.LOST_ANSWER),
    ],
    ids=str,
)
def test_what_may_pass_is_worth_another_attempt(receiver: Receiver, fault: Fault) -> None:
    receiver.fail_next(fault)
    with pytest.raises(DeliveryRetriableError) as caught:
        send(receiver, timeout_s=0.2)
    assert caught.value.retry_after_s is None


def test_a_limit_says_how_long_to_wait(receiver: Receiver) -> None:
    receiver.fail_next(Fault(FaultKind.RATE_LIMITED, retry_after_s=17))
    with pytest.raises(DeliveryRetriableError) as caught:
        send(receiver)
    assert caught.value.retry_after_s == 17


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_a_receiver_that_is_not_there_is_dead(receiver: Receiver, status: int) -> None:
    receiver.status = status
    with pytest.raises(ChannelDeadError):
        send(receiver)


@pytest.mark.parametrize("status", [400, 413, 422, 302])
def test_a_refusal_of_one_message_is_no_death(receiver: Receiver, status: int) -> None:
    receiver.status = status
    with pytest.raises(DeliveryRefusedError) as caught:
        send(receiver)
    assert not isinstance(caught.value, ChannelDeadError)
    # In particular, a redirection is not followed: it could lead anywhere.
    assert receiver.attempts == 1


@pytest.mark.parametrize("status", [200, 401, 500])
def test_neither_the_address_nor_the_secret_is_in_an_error(receiver: Receiver, status: int) -> None:
    url = receiver.url
    if status == 200:
        url = url.replace("http://127.0.0.1", "http://127.0.0.1:1/x-")
    receiver.status = status
    with pytest.raises(DeliveryError) as caught:
        send(receiver, url=url)
    told = "".join(traceback.format_exception(caught.value)) + repr(WebhookParams(url=url, secret=SECRET))
    assert "secret-path" not in told
    assert SECRET not in told
