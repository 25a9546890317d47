"""`python -m dashboard`: starts Streamlit on the address and port of the settings."""

import errno
import os
import socket
import sys
from pathlib import Path

import config
from shared.errors import PortInUseError, PrerequisiteError


def streamlit_command(*, host: str, port: int) -> list[str]:
    """Return the command line that serves the dashboard."""
    app = Path(__file__).with_name("app.py")
    return [
        *(sys.executable, "-m", "streamlit", "run", str(app)),
        *("--server.address", host),
        *("--server.port", str(port)),
        *("--server.headless", "true"),
        *("--server.fileWatcherType", "none"),
        *("--browser.gatherUsageStats", "false"),
    ]


def check_port(*, host: str, port: int) -> None:
    """Return when the port can be listened on.

    Raises:
        PortInUseError: another process listens on it.
        PrerequisiteError: the address is none of this machine's, or the port is not ours to take.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # As the server does it, so that a port in TIME_WAIT counts as free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise PortInUseError(port, purpose="the dashboard", setting="DASHBOARD_PORT") from error
            raise PrerequisiteError(
                f"cannot listen on {host}:{port}: {error.strerror}. Set DASHBOARD_HOST and DASHBOARD_PORT."
            ) from error


def main() -> None:
    """Become Streamlit, so that signals reach it directly."""
    settings = config.load_or_exit()
    host, port = settings.dashboard_host, settings.dashboard_port
    try:
        check_port(host=host, port=port)
    except PrerequisiteError as error:
        raise SystemExit(str(error)) from error
    command = streamlit_command(host=host, port=port)
    os.execv(command[0], command)  # noqa: S606 - our own interpreter with arguments from checked settings


if __name__ == "__main__":
    main()
