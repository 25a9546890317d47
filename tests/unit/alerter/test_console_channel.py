import asyncio
import io

from rich.console import Console

from alerter.channels.console import ConsoleChannel
from tests.unit.alerter.examples import notification


def test_an_anomaly_is_printed_readably_and_without_markup_of_its_own() -> None:
    printed = io.StringIO()
    channel = ConsoleChannel(Console(file=printed, width=200))
    event = notification("0123456789abcdef0123", symbol="[red]BTC[/red]-USDT", reason="[bold]40 times")
    assert asyncio.run(channel.send(event, thread_ref="")) == ""
    lines = printed.getvalue().splitlines()
    assert lines[0] == "HIGH: whale on [red]BTC[/red]-USDT (binance)"
    assert lines[1] == "[bold]40 times"
    assert lines[-2:] == ["Id: 0123456789abcdef0123", ""]
    asyncio.run(channel.close())
