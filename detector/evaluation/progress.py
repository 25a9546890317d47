"""How far the reading of recordings is, on stderr; nothing where that is no terminal."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from detector.evaluation import judging


@contextmanager
def shown() -> Iterator[judging.Progress]:
    """Show a bar, and yield what to tell it."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("compiling, or loading what was compiled", total=None)

        def tell(trades: int, files: int, of: int) -> None:
            done = f"{trades:,} trades" if of < 0 else f"{trades:,} trades, {files} of {of} files"
            progress.update(task, description=done, completed=max(files, 0), total=of if of > 0 else None)

        yield tell
