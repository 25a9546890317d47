"""Vector instructions that a compiler does not find by itself.

All work on `LANES` neighbours in contiguous arrays of any shape, from places that are counted from an array's
beginning. They are plain vector code for the compiler: a processor without registers of that width takes
several steps.
"""

from typing import Any, Final

import numpy as np
from llvmlite import ir
from numba import extending, types

LANES: Final = 16

# Who calls one gives no context, as its Python signature has it: that is numba's.
_intrinsic: Any = extending.intrinsic
_I32: Final = ir.IntType(32)
_PREFETCH_TYPE: Final = ir.FunctionType(ir.VoidType(), [ir.IntType(8).as_pointer(), _I32, _I32, _I32])


def _lanes(context: Any, builder: Any, signature: Any, arguments: Any, at: int) -> Any:  # noqa: ANN401 - numba's types have no types
    """Return a pointer to the lanes that an array and a place, arguments `at` and the next one, stand for."""
    kind = signature.args[at]
    start = context.make_array(kind)(context, builder, arguments[at]).data
    place = builder.gep(start, [arguments[at + 1]])
    return builder.bitcast(place, ir.VectorType(context.get_data_type(kind.dtype), LANES).as_pointer())


def _load(builder: Any, lanes: Any) -> Any:  # noqa: ANN401 - as above
    return builder.load(lanes, align=1)


def _bits(builder: Any, flags: Any) -> Any:  # noqa: ANN401 - as above
    """Return flags as a number, the first lane's in the lowest bit."""
    return builder.zext(builder.bitcast(flags, ir.IntType(LANES)), ir.IntType(64))


@_intrinsic
def above(typing_context: Any, a: Any, at: Any, b: Any, other: Any) -> Any:  # noqa: ANN401, ARG001 - as above
    """Return in which lanes float32 of `a` are greater than their counterparts in `b`, as bits.

    Args:
        typing_context: numba's.
        a: array.
        at: of the first of them.
        b: array.
        other: of the first of its counterparts.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ANN401 - as above
        first = _load(builder, _lanes(context, builder, signature, arguments, 0))
        second = _load(builder, _lanes(context, builder, signature, arguments, 2))
        return _bits(builder, builder.fcmp_ordered(">", first, second))

    return types.uint64(a, types.uint64, b, types.uint64), generate


@_intrinsic
def finite(typing_context: Any, a: Any, at: Any) -> Any:  # noqa: ANN401, ARG001 - as above
    """Return which lanes of float32 are less than infinity, as bits.

    Args:
        typing_context: numba's.
        a: array.
        at: of the first of them.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ANN401 - as above
        lanes = _load(builder, _lanes(context, builder, signature, arguments, 0))
        return _bits(builder, builder.fcmp_ordered("<", lanes, ir.Constant(lanes.type, [np.inf] * LANES)))

    return types.uint64(a, types.uint64), generate


@_intrinsic
def chosen_above(
    typing_context: Any,  # noqa: ANN401, ARG001 - as above
    points: Any,  # noqa: ANN401 - as above
    point: Any,  # noqa: ANN401, ARG001 - as above
    choices: Any,  # noqa: ANN401 - as above
    choice: Any,  # noqa: ANN401, ARG001 - as above
    values: Any,  # noqa: ANN401 - as above
    value: Any,  # noqa: ANN401, ARG001 - as above
) -> Any:  # noqa: ANN401 - as above
    """Return in which lanes the chosen coordinate of a point is greater than a value, as bits.

    Args:
        typing_context: numba's.
        points: array of float32.
        point: of the first of `LANES` coordinates.
        choices: array of uint8, below `LANES`.
        choice: of the first of them.
        values: array of float32.
        value: of the first of them.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ANN401 - as above
        coordinates = _load(builder, _lanes(context, builder, signature, arguments, 0))
        places = _load(builder, _lanes(context, builder, signature, arguments, 2))
        places = builder.zext(places, ir.VectorType(_I32, LANES))
        chosen = ir.Constant(coordinates.type, ir.Undefined)
        # Compilers know this shape, and make one instruction of it where there is one.
        for lane in range(LANES):
            at = ir.Constant(_I32, lane)
            taken = builder.extract_element(coordinates, builder.extract_element(places, at))
            chosen = builder.insert_element(chosen, taken, at)
        return _bits(
            builder,
            builder.fcmp_ordered(
                ">", chosen, _load(builder, _lanes(context, builder, signature, arguments, 4))
            ),
        )

    return types.uint64(points, types.uint64, choices, types.uint64, values, types.uint64), generate


@_intrinsic
def raise_to(typing_context: Any, a: Any, at: Any, b: Any, other: Any) -> Any:  # noqa: ANN401, ARG001 - as above
    """Raise lanes of `a` to those of `b` where these are greater; the arguments are those of `above`."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ANN401 - as above
        lanes = _lanes(context, builder, signature, arguments, 0)
        first, second = (
            _load(builder, lanes),
            _load(builder, _lanes(context, builder, signature, arguments, 2)),
        )
        greater = builder.fcmp_ordered(">", second, first)
        builder.store(builder.select(greater, second, first), lanes, align=1)
        return context.get_dummy_value()

    return types.void(a, types.uint64, b, types.uint64), generate


@_intrinsic
def exchange(  # noqa: PLR0917 - as above
    typing_context: Any,  # noqa: ANN401, ARG001 - as above
    a: Any,  # noqa: ANN401 - as above
    at: Any,  # noqa: ANN401, ARG001 - as above
    gained: Any,  # noqa: ANN401 - as above
    gain: Any,  # noqa: ANN401, ARG001 - as above
    lost: Any,  # noqa: ANN401 - as above
    loss: Any,  # noqa: ANN401, ARG001 - as above
    least: Any,  # noqa: ANN401 - as above
    place: Any,  # noqa: ANN401, ARG001 - as above
) -> Any:  # noqa: ANN401 - as above
    """Add to int32 of `a`, subtract from them, and return as bits which are below the least then.

    Args:
        typing_context: numba's.
        a: array; changed.
        at: of the first of them.
        gained: array of what is added.
        gain: of the first of it.
        lost: array of what is subtracted.
        loss: of the first of it.
        least: array of what it is compared with.
        place: of the first of it.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ANN401 - as above
        lanes = _lanes(context, builder, signature, arguments, 0)
        plus, minus, limit = (
            _load(builder, _lanes(context, builder, signature, arguments, at)) for at in (2, 4, 6)
        )
        changed = builder.sub(builder.add(_load(builder, lanes), plus), minus)
        builder.store(changed, lanes, align=1)
        return _bits(builder, builder.icmp_signed("<", changed, limit))

    place_type = types.uint64
    return types.uint64(a, place_type, gained, place_type, lost, place_type, least, place_type), generate


@_intrinsic
def borrowed(typing_context: Any, a: Any) -> Any:  # noqa: ANN401, ARG001 - as above
    """Return an array itself, but one whose references are not counted.

    Numba counts references to an array at every view of it and at most calls that it is passed to, each time
    by a locked instruction: that costs more than what most kernels do. Only for arguments of a kernel, at its
    beginning: these the caller keeps alive.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ANN401 - as above
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        array.meminfo = ir.Constant(array.meminfo.type, None)
        array.parent = ir.Constant(array.parent.type, None)
        return array._getvalue()  # noqa: SLF001 - numba's own way to the value

    return a(a), generate


@_intrinsic
def prefetch(typing_context: Any, a: Any, at: Any) -> Any:  # noqa: ANN401, ARG001 - as above
    """Have the cache line fetched that holds a place of an array, without waiting for it.

    Args:
        typing_context: numba's.
        a: array.
        at: place in it; one beyond its end does no harm.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ANN401 - as above
        byte = ir.IntType(8).as_pointer()
        function = builder.module.declare_intrinsic("llvm.prefetch", [byte], _PREFETCH_TYPE)
        start = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        place = builder.bitcast(builder.gep(start, [arguments[1]]), byte)
        # For writing, into all caches, data.
        builder.call(function, [place, ir.Constant(_I32, 1), ir.Constant(_I32, 3), ir.Constant(_I32, 1)])
        return context.get_dummy_value()

    return types.void(a, types.uint64), generate


@_intrinsic
def lowest_bit(typing_context: Any, bits: Any) -> Any:  # noqa: ANN401, ARG001 - as above
    """Return the number of the lowest bit that is set; one is."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ANN401, ARG001 - as above
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))

    return types.uint64(types.uint64), generate
