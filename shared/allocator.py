"""How the C library keeps memory that is freed and needed again a moment later.

librdkafka takes a megabyte or more for every answer of a broker, and gives it back when its records are read.
By default glibc hands such memory to the system and takes it anew, page by page, each of which the system
clears first: with a steady stream that costs more than reading the records. So freed memory is kept, up to a
bound, and threads share two heaps, so that what one frees another can use.
"""

import ctypes
import platform
from typing import Final

# Names and numbers of mallopt(3).
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
# Freed memory at the end of a heap that is kept, in bytes.
KEPT_BYTES: Final = 64 * 1024 * 1024
# The most that glibc accepts: larger blocks go back to the system at once.
_LARGEST_KEPT_BLOCK: Final = 32 * 1024 * 1024
_HEAPS: Final = 2


def keep_freed_memory() -> bool:
    """Let this process keep memory that it frees; to be called before threads start.

    Returns:
        Whether that could be set: with glibc it can, elsewhere nothing changes.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    mallopt.argtypes, mallopt.restype = [ctypes.c_int, ctypes.c_int], ctypes.c_int
    options = ((_ARENA_MAX, _HEAPS), (_MMAP_THRESHOLD, _LARGEST_KEPT_BLOCK), (_TRIM_THRESHOLD, KEPT_BYTES))
    accepted = [mallopt(option, value) for option, value in options]
    return 0 not in accepted
