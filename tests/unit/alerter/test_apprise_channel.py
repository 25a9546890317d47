import asyncio
import importlib.util
import json

import pytest

from alerter.channels.apprise import AppriseChannel, build
from shared.errors import ConfigError, DeliveryRetriableError, ToolMissingError
from tests.servers.receiver import Receiver
from tests.servers.stand_in import Fault, FaultKind
from tests.unit.alerter.notices import notification

is_there = importlib.util.find_spec("apprise") is not None
# Apprise still uses a module that Python 3.13 no longer has, where it is there.
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr':DeprecationWarning")
needs_apprise = pytest.mark.skipif(not is_there, reason="the extra apprise is not installed")


def address(receiver: Receiver) -> str:
    return f"json://{receiver.origin.removeprefix('http://')}/token-in-path"


@needs_apprise
def test_a_notification_arrives_through_it() -> None:
    with Receiver() as receiver:
        (channel,) = build([address(receiver)])
        assert asyncio.run(channel.send(notification(), thread_ref="")) == ""
        asyncio.run(channel.tell("a channel is dead"))
    bodies = [json.loads(request.body) for request in receiver.requests]
    assert bodies[0]["title"] == "HIGH: whale on BTC-USDT (binance)"
    assert bodies[1]["message"] == "a channel is dead"


@needs_apprise
def test_what_it_does_not_deliver_is_worth_another_attempt_and_shows_no_address() -> None:
    with Receiver() as receiver:
        receiver.fail_next(Fault(FaultKind.SERVER_ERROR))
        with pytest.raises(DeliveryRetriableError) as caught:
            asyncio.run(AppriseChannel(address(receiver), number=1).send(notification(), thread_ref=""))
    assert caught.value.channel == "apprise:1-json"
    assert "token-in-path" not in str(caught.value)


@needs_apprise
def test_an_address_that_it_does_not_know_is_a_fault_of_the_settings() -> None:
    with pytest.raises(ConfigError, match="number 2") as caught:
        AppriseChannel("nonsense://token-in-path", number=2)
    assert "token-in-path" not in str(caught.value)


@pytest.mark.skipif(is_there, reason="the extra apprise is installed")
def test_without_the_extra_the_error_says_how_to_get_it() -> None:
    with pytest.raises(ToolMissingError, match=r"pip install 'tapewatch\[apprise\]'"):
        build(["ntfy://topic"])
