"""The dashboard as it is run: its own process, a real Kafka, and a real browser that looks at it."""

import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx
import msgspec
import pytest
from playwright.sync_api import BrowserContext, ConsoleMessage, Page, expect, sync_playwright

from deploy.kafka.broker import RunningBroker
from shared.clock import MICROSECONDS_PER_SECOND as US
from shared.clock import SystemClock
from shared.codec import decode, encode
from shared.events import AlertAction, AlertCommand, Anomaly, Trade
from shared.store.database import Database
from shared.store.labels import Verdict, labels
from shared.stream.broker import Producer, TopicPartition
from shared.stream.kafka import KafkaBroker, KafkaParams
from shared.topics import ALERT_COMMANDS, topic_of
from tests.data.dashboard_scene import HOSTILE_REASON, LONG_REASON, Scene, history, make_anomaly
from tests.deadlines import eventually

pytestmark = pytest.mark.integration

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM = Path("/usr/bin/chromium")
CHROMIUM_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
DESKTOP, PHONE = (1_440, 900), (390, 844)
HISTORY_S = 300
DARK_BACKGROUND = "rgb(13, 17, 23)"
PARTITIONS = 2
SHOWN_WITHIN_MS = 30_000
STARTS_WITHIN_S = 60.0
PLOT = ".tapewatch-chart.js-plotly-plot"


class Browsers:
    """Opens pages with a fresh profile each, and remembers what their consoles complained about."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._playwright = sync_playwright().start()
        self._contexts: list[BrowserContext] = []
        self.complaints: list[str] = []

    def open(self, url: str, *, size: tuple[int, int] = DESKTOP, is_dark: bool = False) -> Page:
        width, height = size
        context = self._playwright.chromium.launch_persistent_context(
            self._folder / secrets.token_hex(4),
            executable_path=CHROMIUM,
            args=CHROMIUM_ARGUMENTS,
            viewport={"width": width, "height": height},
            color_scheme="dark" if is_dark else "light",
        )
        self._contexts.append(context)
        page = context.new_page()
        page.on("console", self._on_console)
        page.on("pageerror", lambda error: self.complaints.append(f"{error}\n{error.stack}"))
        page.goto(url)
        return page

    def close(self) -> None:
        for context in self._contexts:
            context.close()
        self._playwright.stop()

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.complaints.append(message.text)


class Pipeline:
    """Stands in for the workers: writes a scene to the topics, and goes on with it every second."""

    def __init__(self, producer: Producer) -> None:
        self._producer = producer
        self._scene = Scene(begin_us=SystemClock().now_us() - HISTORY_S * US)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._go_on, name="scene", daemon=True)
        past = history(self._scene, seconds=HISTORY_S)
        self._publish(past)
        self.last_bnb = next(e for e in reversed(past) if isinstance(e, Trade) and e.symbol == "BNB-USDT")

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    def publish_anomaly(self, reason: str) -> Anomaly:
        found = make_anomaly(
            "BNB-USDT",
            event_us=self._scene.second_us,
            price=self.last_bnb.price,
            reason=reason,
            trade_id=1_000_000,
        )
        self._publish([found])
        return found

    def _go_on(self) -> None:
        while not self._stop.wait(max(0.0, (self._scene.second_us - SystemClock().now_us()) / US)):
            self._publish(self._scene.step())

    def _publish(self, events: Sequence[msgspec.Struct]) -> None:
        for event in events:
            key = str(getattr(event, "symbol", "worker")).encode()
            self._producer.produce(topic_of(type(event)), encode(event), key=key)
        assert self._producer.flush(30) == 0


@pytest.fixture
def browsers(tmp_path: Path) -> Iterator[Browsers]:
    if not CHROMIUM.exists():
        pytest.skip(f"no Chromium at {CHROMIUM}")
    browsers = Browsers(tmp_path / "profiles")
    yield browsers
    browsers.close()


@pytest.fixture
def pipeline(kafka: RunningBroker, kafka_topic_prefix: str) -> Iterator[Pipeline]:
    broker = KafkaBroker(
        KafkaParams(
            bootstrap_servers=kafka.bootstrap_servers, topic_prefix=kafka_topic_prefix, partitions=PARTITIONS
        )
    )
    broker.ensure_topics()
    producer = broker.producer()
    pipeline = Pipeline(producer)
    pipeline.start()
    yield pipeline
    pipeline.stop()
    producer.close()


@contextmanager
def running(
    command: list[str], *, url: str, environment: dict[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a dashboard until the end of the block; it must end in order when asked to."""
    process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **environment})
    try:
        eventually(
            lambda: is_up(url), seconds=STARTS_WITHIN_S, about="the dashboard's first answer", every_s=0.1
        )
        yield process
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=20)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait(timeout=20)


def is_up(url: str) -> bool:
    try:
        return httpx.get(f"{url}/_stcore/health", timeout=2).is_success
    except httpx.TransportError:
        return False


@contextmanager
def dashboard(port: int, bootstrap_servers: str, prefix: str, *, database_url: str = "") -> Iterator[str]:
    url = f"http://127.0.0.1:{port}"
    environment = {
        "KAFKA_BOOTSTRAP_SERVERS": bootstrap_servers,
        "KAFKA_TOPIC_PREFIX": prefix,
        "KAFKA_PARTITIONS": str(PARTITIONS),
        "DASHBOARD_PORT": str(port),
        "DASHBOARD_HISTORY_S": "600",
        "DATABASE_URL": database_url,
    }
    with running([sys.executable, "-m", "dashboard"], url=url, environment=environment):
        yield url


def wait_for_chart(page: Page) -> None:
    page.wait_for_selector(f"{PLOT} .nsewdrag", state="attached", timeout=SHOWN_WITHIN_MS)


def follow_nodes(page: Page) -> None:
    """Remember the nodes that must survive every update, and what the clock shows."""
    page.evaluate(
        """plot => {
            window.kept = [plot, ".st-key-masthead", "[data-testid=stDataFrame]"].map(
                (selector) => document.querySelector(selector));
        }""",
        PLOT,
    )


def are_kept(page: Page) -> bool:
    kept: bool = page.evaluate(
        """plot => window.kept.every((node) => node?.isConnected)
            && window.kept[0] === document.querySelector(plot)""",
        PLOT,
    )
    return kept


def time_range(page: Page) -> list[str]:
    shown: list[str] = page.evaluate(
        "plot => document.querySelector(plot).layout.xaxis.range.map(String)", PLOT
    )
    return shown


def masthead_clock(page: Page) -> str:
    return page.locator(".st-key-masthead .value").first.inner_text()


def test_a_visitor_sees_markets_reasons_and_health_updated_in_place(
    kafka: RunningBroker,
    kafka_topic_prefix: str,
    pipeline: Pipeline,
    free_port: int,
    browsers: Browsers,
    tmp_path: Path,
) -> None:
    with dashboard(free_port, kafka.bootstrap_servers, kafka_topic_prefix) as url:
        page = browsers.open(url)
        wait_for_chart(page)
        expect(page.locator(".masthead .pill")).to_have_text("Live", timeout=SHOWN_WITHIN_MS)
        for market in ("BTC-USDT", "ETH-USDT", "SOL-USDT", "BNB-USDT", "XRP-USDT"):
            expect(
                page.locator(".st-key-markets").get_by_role("button", name=market, exact=True)
            ).to_be_visible()
        expect(page.locator(".st-key-story").get_by_text(LONG_REASON)).to_be_visible()
        workers = page.locator(".st-key-workers tbody")
        expect(workers.locator("tr", has_text="detector").get_by_text("running")).to_be_visible()
        expect(workers.locator("tr", has_text="recorder").get_by_text("silent")).to_be_visible()
        expect(page.locator(".st-key-notices").get_by_text("12 trades missing: HTTP 418")).to_be_visible()

        follow_nodes(page)
        for _ in range(4):
            wait_for_update(page)
        assert are_kept(page)

        # A reason is text, whatever is in it.
        page.locator(".st-key-markets").get_by_role("button", name="BNB-USDT", exact=True).click()
        expect(page.locator(".st-key-quote .heading")).to_have_text("BNB-USDT")
        expect(page.locator(".st-key-story").get_by_text(HOSTILE_REASON)).to_be_visible()
        assert page.locator("img[src=x]").count() == 0

        # What happens now is on the screen soon.
        pipeline.publish_anomaly("a whale came by while we watched")
        expect(page.locator(".st-key-story").get_by_text("a whale came by")).to_be_visible(timeout=5_000)
        assert are_kept(page)
        take_pictures(browsers, url, tmp_path)
        page.screenshot(path=tmp_path / "desktop-light.png")
    assert browsers.complaints == []


def wait_for_update(page: Page) -> None:
    before = masthead_clock(page)
    eventually(lambda: masthead_clock(page) != before, seconds=10, about="the next tick of the clock")


def take_pictures(browsers: Browsers, url: str, folder: Path) -> None:
    """Open the page dark and on a phone too; on a phone nothing may stick out sideways."""
    dark = browsers.open(url, is_dark=True)
    wait_for_chart(dark)
    dark.screenshot(path=folder / "desktop-dark.png")
    background = dark.evaluate("getComputedStyle(document.querySelector('.stApp')).backgroundColor")
    assert background == DARK_BACKGROUND
    phone = browsers.open(url, size=PHONE)
    wait_for_chart(phone)
    phone.screenshot(path=folder / "phone.png")
    assert phone.evaluate("document.documentElement.scrollWidth") <= PHONE[0]


def test_an_alert_is_acknowledged_from_the_page(
    kafka: RunningBroker,
    kafka_topic_prefix: str,
    pipeline: Pipeline,
    free_port: int,
    browsers: Browsers,
    tmp_path: Path,
) -> None:
    del pipeline
    with dashboard(free_port, kafka.bootstrap_servers, kafka_topic_prefix) as url:
        page = browsers.open(url)
        page.get_by_role("link", name="Alerts").click(timeout=SHOWN_WITHIN_MS)
        groups = page.locator(".st-key-alert_group")
        groups.get_by_text("Silenced", exact=True).click(timeout=SHOWN_WITHIN_MS)
        # What somebody wrote is text, whatever is in it.
        expect(page.locator(".st-key-alerts").get_by_text("snoozed by <b>bob</b>")).to_be_visible()
        groups.get_by_text("Open", exact=True).click()
        page.locator(".st-key-alerts").get_by_role("button", name="BNB-USDT", exact=True).click()
        expect(page.locator(".st-key-alert_story .heading")).to_have_text("BNB-USDT")
        page.get_by_role("button", name="Acknowledge", exact=True).click()
        expect(page.locator(".st-key-alert_answer")).to_contain_text("Asked at", timeout=SHOWN_WITHIN_MS)
        (command,) = commands_on(kafka, kafka_topic_prefix)
        assert (command.action, command.channel) == (AlertAction.ACKNOWLEDGE, "dashboard")
        assert command.target.startswith("incident")
        expect(page.locator(".st-key-channels").get_by_text("refuses")).to_be_visible()
        page.screenshot(path=tmp_path / "alerts-light.png")
    assert browsers.complaints == []


def test_an_anomaly_is_found_explained_and_labelled(
    kafka: RunningBroker,
    kafka_topic_prefix: str,
    pipeline: Pipeline,
    free_port: int,
    browsers: Browsers,
    tmp_path: Path,
) -> None:
    del pipeline
    store = f"sqlite:///{tmp_path}/store.db"
    with dashboard(free_port, kafka.bootstrap_servers, kafka_topic_prefix, database_url=store) as url:
        page = browsers.open(url)
        page.get_by_role("link", name="Anomalies").click(timeout=SHOWN_WITHIN_MS)
        found = page.locator(".st-key-anomaly_list").get_by_role("button", name="BNB-USDT", exact=True)
        found.click(timeout=SHOWN_WITHIN_MS)
        expect(page.locator(".st-key-anomaly_head").get_by_text(HOSTILE_REASON)).to_be_visible()
        expect(page.locator(".st-key-shares").get_by_text("notional")).to_be_visible()
        assert "?id=" in page.url
        page.get_by_role("radiogroup").get_by_text("false", exact=True).click()
        page.get_by_label("because").fill("a <b>listing</b>")
        page.get_by_test_id("stForm").get_by_role("button", name="Label").click()
        expect(page.locator(".st-key-label").get_by_text("a <b>listing</b>")).to_be_visible(
            timeout=SHOWN_WITHIN_MS
        )
        page.screenshot(path=tmp_path / "anomaly-light.png")
        assert page.locator("img[src=x]").count() == 0
        identity = page.url.partition("?id=")[2]
    database = Database(store)
    with database.session(read_only=True) as session:
        (label,) = labels(session)
    database.close()
    assert (label.verdict, label.note, label.episode_id) == (Verdict.FALSE, "a <b>listing</b>", identity)
    assert browsers.complaints == []


def commands_on(kafka: RunningBroker, prefix: str) -> list[AlertCommand]:
    broker = KafkaBroker(
        KafkaParams(bootstrap_servers=kafka.bootstrap_servers, topic_prefix=prefix, partitions=PARTITIONS)
    )
    found = broker.read_all([TopicPartition(ALERT_COMMANDS, 0)])
    return [decode(message.value(), AlertCommand) for message in found]


def test_pan_and_zoom_survive_updates_until_the_reader_follows_again(
    kafka: RunningBroker, kafka_topic_prefix: str, pipeline: Pipeline, free_port: int, browsers: Browsers
) -> None:
    del pipeline
    with dashboard(free_port, kafka.bootstrap_servers, kafka_topic_prefix) as url:
        page = browsers.open(url)
        wait_for_chart(page)
        page.get_by_text("1 s", exact=True).click()
        moving = time_range(page)
        eventually(lambda: time_range(page) != moving, seconds=15, about="a range that follows the market")
        box = page.locator(f"{PLOT} .nsewdrag").first.bounding_box()
        assert box is not None
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        page.mouse.wheel(0, -300)
        eventually(lambda: " " in time_range(page)[0], seconds=5, about="the zoom")
        zoomed = time_range(page)
        for _ in range(3):
            wait_for_update(page)
        assert time_range(page) == zoomed
        page.get_by_role("button", name="Follow").click()
        eventually(lambda: time_range(page) != zoomed, seconds=10, about="following again")
    assert browsers.complaints == []


def test_without_a_broker_the_page_says_so_and_what_it_tries(free_port: int, browsers: Browsers) -> None:
    # Nothing listens on the discard port of loopback.
    with dashboard(free_port, "127.0.0.1:9", "nowhere-") as url:
        page = browsers.open(url)
        expect(page.locator(".masthead .pill")).to_have_text("Kafka unreachable", timeout=SHOWN_WITHIN_MS)
        expect(page.locator(".masthead .note")).to_contain_text("trying again")
        expect(page.get_by_text("The chart appears with the first trade.")).to_be_visible()
    assert browsers.complaints == []


def test_faults_of_the_settings_are_on_the_page(free_port: int, browsers: Browsers) -> None:
    url = f"http://127.0.0.1:{free_port}"
    command = [sys.executable, "-m", "streamlit", "run", "dashboard/app.py", "--server.port", str(free_port)]
    with running(command, url=url, environment={"DASHBOARD_HISTORY_S": "1", "DASHBOARD_PROT": "2"}):
        page = browsers.open(url)
        expect(page.get_by_text("DASHBOARD_PROT is no setting. Did you mean DASHBOARD_PORT?")).to_be_visible(
            timeout=SHOWN_WITHIN_MS
        )
        expect(page.get_by_text("DASHBOARD_HISTORY_S:")).to_be_visible()


def test_a_port_in_use_is_one_clear_sentence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        ended = subprocess.run(
            [sys.executable, "-m", "dashboard"],
            cwd=ROOT,
            env={**os.environ, "DASHBOARD_PORT": str(port)},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
    assert ended.returncode == 1
    assert ended.stderr.strip() == (
        f"port {port}, needed for the dashboard, is in use by another process. "
        "Stop that process, or set DASHBOARD_PORT to a free port."
    )
