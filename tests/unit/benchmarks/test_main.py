"""The benchmarks' command line: whatever is written there can be called."""

import inspect

from benchmarks import __main__ as command_line


def test_every_benchmark_has_its_command() -> None:
    commands = {command.callback for command in command_line.app.registered_commands}
    written = {
        function
        for name, function in inspect.getmembers(command_line, inspect.isfunction)
        if function.__module__ == command_line.__name__ and not name.startswith("_") and name != "main"
    }
    assert written == commands
