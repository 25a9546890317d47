"""The pipeline's processes in the order in which they start, and how each is started.

A broker, then (for the demo) the simulator, then the readers (recorder, alerter, dashboard, detector and its
cross-market worker; that of quotes where PRODUCER_QUOTES is set), last the producer, so that nothing that the
market says finds nobody listening.
"""

import json
import os
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from deploy.kafka.broker import BrokerParams, RunningBroker, start_broker
from deploy.kafka.ports import LOOPBACK, is_free
from deploy.kafka.process import tail, wait_until
from deploy.local.supervisor import Supervisor, Worker
from shared.clock import Clock
from shared.errors import PortInUseError, PrerequisiteError

_SIMULATOR_START_S: Final = 60.0
READERS: Final = ("recorder", "alerter", "dashboard", "detector", "cross")
# What is started otherwise than by `python -m` and its own name.
_COMMANDS: Final[Mapping[str, tuple[str, ...]]] = {
    "cross": ("detector", "cross"),
    "quotes": ("detector", "quotes"),
}
_BROKER_WORDS: Final = {
    "external": "the broker at KAFKA_BOOTSTRAP_SERVERS (exactly once)",
    "apache-kafka": "a local Apache Kafka (exactly once)",
    "builtin": "librdkafka's built-in cluster (at least once)",
}


@dataclass(frozen=True, kw_only=True)
class StackParams:
    """What is started.

    Attributes:
        mode: `demo` on a simulated market, or `live` on the exchange.
        data_dir: for logs, database and broker; the demo empties it first, `live` keeps it.
        dashboard_port: where the dashboard will listen.
        external_servers: a broker that runs already; empty for none.
        topic_prefix: as in the settings.
        partitions: as in the settings.
        database_url: set by the user; empty for a SQLite file in `data_dir`.
        simulator: options of `python -m simulator market`.
        also: venues that are read beside the one of the settings.
    """

    mode: Literal["demo", "live"]
    data_dir: Path
    dashboard_port: int
    external_servers: str = ""
    topic_prefix: str = ""
    partitions: int = 12
    database_url: str = ""
    simulator: tuple[str, ...] = ()
    also: tuple[str, ...] = ()


class Stack:
    """All processes of one run.

    Args:
        params: what to start.
        tell: is given a sentence when something takes a while.
        clock: the time.
    """

    def __init__(self, params: StackParams, *, tell: Callable[[str], None], clock: Clock) -> None:
        self._params = params
        self._tell = tell
        self._clock = clock
        self._supervisor: Supervisor | None = None
        self._simulator: Supervisor | None = None
        self._broker: RunningBroker | None = None
        self.log_dir = params.data_dir / "logs"

    @property
    def broker(self) -> RunningBroker:
        """The broker, once started."""
        assert self._broker is not None, "start() first"
        return self._broker

    @property
    def broker_words(self) -> str:
        """Which broker it is, for people."""
        return _BROKER_WORDS[self.broker.kind]

    @property
    def restarts(self) -> int:
        """Workers restarted so far."""
        return 0 if self._supervisor is None else self._supervisor.restarts

    def pids(self) -> dict[str, int]:
        """Return the process ids of the workers by name."""
        return {} if self._supervisor is None else self._supervisor.pids()

    def start(self) -> None:
        """Start everything.

        Raises:
            PrerequisiteError: a port is taken, a tool is missing, or a process does not start.
        """
        params = self._params
        if not is_free(params.dashboard_port):
            raise PortInUseError(params.dashboard_port, purpose="the dashboard", setting="DASHBOARD_PORT")
        if params.mode == "demo" and params.data_dir.exists():
            shutil.rmtree(params.data_dir)
        self.log_dir.mkdir(parents=True, exist_ok=True)
        self._tell("starting a broker")
        self._broker = start_broker(
            "auto",
            BrokerParams(
                external_servers=params.external_servers,
                data_dir=params.data_dir / "kafka",
                topic_prefix=params.topic_prefix,
                partitions=params.partitions,
                tell=self._tell,
            ),
        )
        environ = self._environ(self._broker)
        addresses: dict[str, dict[str, str]] = {}
        if params.mode == "demo":
            first, addresses = self._start_simulator(environ)
            environ |= first
        supervisor = self._supervise(environ)
        for name in (*READERS, *(("quotes",) if _has_quotes(environ) else ()), "producer"):
            self._tell(f"starting the {name}")
            supervisor.start(_python(name, "-m", *_COMMANDS.get(name, (name,))))
        for venue in params.also:
            self._tell(f"starting the producer for {venue}")
            own = {"EXCHANGE": venue, "PRODUCER_QUOTES": "", **addresses.get(venue, _settings({}))}
            argv = (sys.executable, "-m", "producer")
            supervisor.start(Worker(name=f"producer-{venue}", argv=argv, environ=own))

    def watch(self) -> None:
        """Restart what has crashed; call it often.

        Raises:
            PrerequisiteError: a process keeps crashing.
        """
        for supervisor in (self._simulator, self._supervisor):
            if supervisor is not None:
                supervisor.watch()

    def stop(self) -> int:
        """Stop every process that was started, and return how many there were."""
        count = 0
        for supervisor in (self._supervisor, self._simulator):
            count += 0 if supervisor is None else supervisor.stop()
        if self._broker is not None:
            self._broker.stop()
            count += self._broker.kind != "external"
        return count

    def _supervise(self, environ: Mapping[str, str]) -> Supervisor:
        self._supervisor = Supervisor(log_dir=self.log_dir, environ=environ, clock=self._clock)
        return self._supervisor

    def _environ(self, broker: RunningBroker) -> dict[str, str]:
        guarantee = "exactly_once" if broker.supports_transactions else "at_least_once"
        database = self._params.database_url or f"sqlite:///{self._params.data_dir / 'tapewatch.db'}"
        return {
            **os.environ,
            "KAFKA_BOOTSTRAP_SERVERS": broker.bootstrap_servers,
            "PROCESSING_GUARANTEE": guarantee,
            "DATABASE_URL": database,
            "PYTHONUNBUFFERED": "1",
        }

    def _start_simulator(
        self, environ: Mapping[str, str]
    ) -> tuple[dict[str, str], dict[str, dict[str, str]]]:
        """Return the settings that lead to the simulator: of the first venue, and of each by name."""
        self._tell("starting the simulator")
        supervisor = Supervisor(log_dir=self.log_dir, environ=environ, clock=self._clock)
        self._simulator = supervisor
        truth = str(self._params.data_dir / "truth.jsonl")
        options = [*self._params.simulator, *(f"--venue={venue}" for venue in self._params.also)]
        if _has_quotes(environ):
            options.append("--quotes")
        worker = _python("simulator", "-m", "simulator", "market", "--truth", truth, *options)
        supervisor.start(worker)
        log_path = supervisor.log_path(worker)
        if not wait_until(
            lambda: bool(_addresses(log_path)),
            running=lambda: supervisor.is_running(worker),
            timeout_s=_SIMULATOR_START_S,
        ):
            raise PrerequisiteError(f"the simulator did not start. The end of {log_path}:\n{tail(log_path)}")
        told = _addresses(log_path)
        return _settings(told), {name: _settings(one) for name, one in told["venues"].items()}


def dashboard_url(port: int) -> str:
    """Return the address to open in a browser."""
    return f"http://{LOOPBACK}:{port}"


def _python(name: str, *argv: str) -> Worker:
    return Worker(name=name, argv=(sys.executable, *argv))


def _settings(addresses: Mapping[str, str]) -> dict[str, str]:
    """Return the settings of a producer for these addresses; without any, those of the venue itself."""
    return {
        "PRODUCER_WS_URL": addresses.get("ws_url", ""),
        "PRODUCER_REST_URL": addresses.get("rest_url", ""),
    }


def _addresses(log_path: Path) -> dict[str, Any]:
    """Return the addresses that the simulator has printed, or nothing yet."""
    for line in log_path.read_text(encoding="utf-8").splitlines():
        if line.startswith('{"ws_url"'):
            found: dict[str, Any] = json.loads(line)
            return found
    return {}


def _has_quotes(environ: Mapping[str, str]) -> bool:
    return environ.get("PRODUCER_QUOTES", "off") not in {"", "off"}
