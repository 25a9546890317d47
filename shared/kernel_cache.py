"""Compiled kernels are kept on disk for as long as nothing they are made of changes.

Numba renews a kernel in its cache when the kernel's own file changes, but not when a function that it calls,
or a constant that it reads, changes in another file: after an upgrade it would go on with the old one,
silently. Here a kernel is renewed when any of our modules changes that its file imports, directly or not.

Numba asks a locator where to keep a kernel, and for the stamp by which it knows it again
(`NUMBA_CACHE_LOCATOR_CLASSES` in its documentation). Modules with kernels, or their package, call `install`
before the first one.
"""

import hashlib
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final

from numba import config
from numba.core.caching import InTreeCacheLocator, UserProvidedCacheLocator, UserWideCacheLocator

_OURS: Final = Path(__file__).parents[1]
_IMPORT: Final = re.compile(
    r"^\s*(?:from\s+([\w.]+)\s+import\s+(\([^)]*\)|[^\n]+)|import\s+([\w.]+))", re.MULTILINE
)
_NAME: Final = re.compile(r"\w+")


def install() -> None:
    """Let numba ask the locators below from now on, and its own for what is neither ours nor in a file."""
    ours = (InUserCache, InTree, InUserWideCache)
    names = [f"{each.__module__}.{each.__name__}" for each in ours]
    classes = ",".join([*names, "IPythonCacheLocator", "ZipCacheLocator"])
    config.CACHE_LOCATOR_CLASSES = classes  # type: ignore[attr-defined]  # made of the environment


class _StampOfImports:
    """Stamps a kernel with the contents of its file and of all our files that this one imports."""

    _py_file: str

    def get_source_stamp(self) -> Any:  # noqa: ANN401 - whatever numba takes
        """Return what changes when the kernel may have."""
        module = Path(self._py_file)
        if module.is_relative_to(_OURS) and "site-packages" not in module.parts:
            return stamp(module, _OURS)
        return super().get_source_stamp()  # type: ignore[misc]  # of numba's locator, which comes next


class InUserCache(_StampOfImports, UserProvidedCacheLocator):
    """Keeps kernels in `NUMBA_CACHE_DIR`, where that is set."""


class InTree(_StampOfImports, InTreeCacheLocator):
    """Keeps kernels in `__pycache__` beside their module."""


class InUserWideCache(_StampOfImports, UserWideCacheLocator):
    """Keeps kernels in the user's cache folder, where the code's own cannot be written to."""


@cache
def stamp(module: Path, root: Path) -> bytes:
    """Return a digest of a module and of all modules that it imports, itself or through others.

    Args:
        module: a Python file.
        root: folder of the packages that count.
    """
    digest = hashlib.sha256()
    for path in sorted(_with_imports(module, root)):
        digest.update(str(path.relative_to(root)).encode() + b"\0" + path.read_bytes())
    return digest.digest()


def _with_imports(module: Path, root: Path) -> set[Path]:
    found, unread = set[Path](), [module]
    while unread:
        path = unread.pop()
        if path not in found:
            found.add(path)
            unread += _imports(path, root)
    return found


@cache
def _imports(module: Path, root: Path) -> tuple[Path, ...]:
    """Return the files below the root that a module imports; a package's `__init__.py` holds no kernels."""
    return tuple(
        path
        for name in _names(module.read_text(encoding="utf-8"))
        if (path := root.joinpath(*name.split(".")).with_suffix(".py")).is_file()
    )


def _names(source: str) -> Iterator[str]:
    """Yield the names of the modules that a source may import: what comes after `import` may be one, too."""
    for package, members, plain in _IMPORT.findall(source):
        yield plain or package
        yield from (f"{package}.{member}" for member in _NAME.findall(members))
