import socket

import pytest

from dashboard.__main__ import check_port, streamlit_command
from shared.errors import PortInUseError, PrerequisiteError


def test_a_port_in_use_is_a_clear_sentence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(PortInUseError, match=f"port {port}, needed for the dashboard.*DASHBOARD_PORT"):
            check_port(host="127.0.0.1", port=port)
    check_port(host="127.0.0.1", port=port)


def test_an_address_of_another_machine_is_a_clear_sentence() -> None:
    with pytest.raises(PrerequisiteError, match="DASHBOARD_HOST"):
        check_port(host="192.0.2.1", port=8_501)


def test_streamlit_gets_the_address_and_port_of_the_settings() -> None:
    command = streamlit_command(host="127.0.0.1", port=8_765)
    assert command[command.index("--server.address") + 1] == "127.0.0.1"
    assert command[command.index("--server.port") + 1] == "8765"
    assert command[command.index("--browser.gatherUsageStats") + 1] == "false"
