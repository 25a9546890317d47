"""What compiled code needs and numba does not offer: memory by address, and eight bytes at once.

For kernels only. Nothing here checks a bound; callers do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

_BYTE: Final = ir.IntType(8)
_WORD: Final = ir.IntType(64)
# What numba hands to these functions (its types, and LLVM's builder and values) has no published type.
_Untyped: TypeAlias = Any


def _address_in(
    context: _Untyped, builder: _Untyped, array_type: _Untyped, array: _Untyped, at: _Untyped
) -> _Untyped:
    data = context.make_array(array_type)(context, builder, array).data
    return builder.gep(builder.bitcast(data, _BYTE.as_pointer()), [at])


def _word_at(_typing: _Untyped, content: _Untyped, at: _Untyped) -> _Untyped:
    def generate(context: _Untyped, builder: _Untyped, signature: _Untyped, given: _Untyped) -> _Untyped:
        address = _address_in(context, builder, signature.args[0], *given)
        return builder.load(builder.bitcast(address, _WORD.as_pointer()), align=1)

    return types.uint64(content, at), generate


def _low_zeros(_typing: _Untyped, _word: _Untyped) -> _Untyped:
    def generate(_context: _Untyped, builder: _Untyped, _signature: _Untyped, given: _Untyped) -> _Untyped:
        return builder.cttz(given[0], ir.IntType(1)(0))

    return types.int64(types.uint64), generate


def _load_at(_typing: _Untyped, _address: _Untyped) -> _Untyped:
    def generate(_context: _Untyped, builder: _Untyped, _signature: _Untyped, given: _Untyped) -> _Untyped:
        return builder.load(builder.inttoptr(given[0], _WORD.as_pointer()))

    return types.int64(types.int64), generate


def _copy_bytes(
    _typing: _Untyped, content: _Untyped, at: _Untyped, address: _Untyped, count: _Untyped
) -> _Untyped:
    def generate(context: _Untyped, builder: _Untyped, signature: _Untyped, given: _Untyped) -> _Untyped:
        array, place, source, length = given
        target = _address_in(context, builder, signature.args[0], array, place)
        memcpy: _Untyped = cgutils.raw_memcpy
        memcpy(builder, target, builder.inttoptr(source, _BYTE.as_pointer()), length, 1)
        return context.get_dummy_value()

    return types.void(content, at, address, count), generate


def _call_at(_typing: _Untyped, function: _Untyped, argument: _Untyped) -> _Untyped:
    def generate(context: _Untyped, builder: _Untyped, _signature: _Untyped, given: _Untyped) -> _Untyped:
        kind = ir.FunctionType(ir.VoidType(), [_WORD])
        builder.call(builder.inttoptr(given[0], kind.as_pointer()), [given[1]])
        return context.get_dummy_value()

    return types.void(function, argument), generate


# Eight bytes of an array of bytes, from a place on, as one number in the machine's order of bytes.
word_at: Final = cast("Callable[[NDArray[np.uint8], int], np.uint64]", intrinsic(_word_at))

# How many of the lowest bits of a uint64 are zero; 64 where none is set.
low_zeros: Final = cast("Callable[[np.uint64], int]", intrinsic(_low_zeros))

# The eight bytes at an address, as an int64.
load_at: Final = cast("Callable[[int], int]", intrinsic(_load_at))

# Copy `count` bytes from an address to a place in an array of bytes: content, place, address, count.
copy_bytes: Final = cast("Callable[[NDArray[np.uint8], int, int, int], None]", intrinsic(_copy_bytes))

# Call the C function at an address, which takes one pointer and returns nothing: function, argument.
call_at: Final = cast("Callable[[int, int], None]", intrinsic(_call_at))
