"""Vector instructions that a compiler does not find by itself."""

from typing import Any, Final

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

LANES: Final = 16


@intrinsic
def is_any_above(typing_context: Any, a: Any, at: Any, b: Any, other: Any) -> Any:  # noqa: ANN401, ARG001 - numba's types have no types
    """Return whether any of `LANES` float32 of `a` is greater than its counterpart in `b`.

    A loop of known length over them is unrolled before it can become vectors.

    Args:
        typing_context: numba's.
        a: contiguous array of any shape.
        at: of the first of them, counted from the array's beginning.
        b: likewise.
        other: of the first of its counterparts.
    """
    signature = types.boolean(a, types.uint64, b, types.uint64)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ANN401 - as above
        loaded = []
        for array, index in ((0, 1), (2, 3)):
            start = context.make_array(signature.args[array])(context, builder, arguments[array]).data
            place = builder.gep(start, [arguments[index]])
            pointer = builder.bitcast(place, ir.VectorType(ir.FloatType(), LANES).as_pointer())
            loaded.append(builder.load(pointer, align=np.dtype(np.float32).itemsize))
        above = builder.bitcast(builder.fcmp_ordered(">", *loaded), ir.IntType(LANES))
        return builder.icmp_unsigned("!=", above, ir.Constant(ir.IntType(LANES), 0))

    return signature, generate
