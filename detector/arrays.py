"""Names for the array types of the detector, so that signatures say what a buffer holds."""

import math
from typing import Final, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from shared.stream.step import State

FloatVector: TypeAlias = NDArray[np.float64]
FloatMatrix: TypeAlias = NDArray[np.float64]
FloatCube: TypeAlias = NDArray[np.float64]
FloatTesseract: TypeAlias = NDArray[np.float64]
IntVector: TypeAlias = NDArray[np.int64]
IntMatrix: TypeAlias = NDArray[np.int64]
IntCube: TypeAlias = NDArray[np.int64]
BoolVector: TypeAlias = NDArray[np.bool_]

Scalar = TypeVar("Scalar", bound=np.generic)

_CACHE_LINE: Final = 64


def resized(array: NDArray[Scalar], slot: int) -> NDArray[Scalar]:
    """Return an array by slot that has room for the slot: itself, or a copy that is larger by doubling."""
    if slot < len(array):
        return array
    larger = _zeros((max(slot + 1, 2 * len(array), 8), *array.shape[1:]), array.dtype)
    larger[: len(array)] = array
    return larger


def _zeros(shape: tuple[int, ...], dtype: np.dtype[Scalar]) -> NDArray[Scalar]:
    """Return an array that begins where a cache line does, so that what fits a line does not lie in two."""
    size = math.prod(shape) * dtype.itemsize
    room = np.zeros(size + _CACHE_LINE, np.uint8)
    start = -room.ctypes.data % _CACHE_LINE
    return room[start : start + size].view(dtype).reshape(shape)


def loaded(state: State, key: str, like: NDArray[Scalar], *, shape: tuple[int, ...]) -> NDArray[Scalar]:
    """Return a private, writable, contiguous copy of an array of a snapshot.

    Args:
        state: the snapshot.
        key: the array's name in it.
        like: an array of the type that is expected.
        shape: the shape that is expected; -1 stands for any length.

    Raises:
        ValueError: it is missing, or of another type or shape.
    """
    value = state.get(key)
    if not isinstance(value, np.ndarray) or value.dtype != like.dtype or value.ndim != len(shape):
        raise ValueError(f"{key} is missing or no {len(shape)}-dimensional array of {like.dtype}")
    if any(want not in {-1, have} for want, have in zip(shape, value.shape, strict=True)):
        raise ValueError(f"{key} has shape {value.shape}, not {shape}")
    return np.array(value, order="C", copy=True)


def loaded_int(state: State, key: str) -> int:
    """Return an integer of a snapshot.

    Raises:
        ValueError: it is missing or no integer.
    """
    value = state.get(key)
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{key} is missing or no integer")  # noqa: TRY004 - a damaged snapshot is a wrong value
    return value


def loaded_float(state: State, key: str) -> float:
    """Return a number of a snapshot.

    Raises:
        ValueError: it is missing or no float.
    """
    value = state.get(key)
    if not isinstance(value, float):
        raise ValueError(f"{key} is missing or no float")  # noqa: TRY004 - a damaged snapshot is a wrong value
    return value


def loaded_flag(state: State, key: str) -> bool:
    """Return a boolean of a snapshot.

    Raises:
        ValueError: it is missing or no boolean.
    """
    value = state.get(key)
    if not isinstance(value, bool):
        raise ValueError(f"{key} is missing or no boolean")  # noqa: TRY004 - a damaged snapshot is a wrong value
    return value


def loaded_str(state: State, key: str) -> str:
    """Return a text of a snapshot.

    Raises:
        ValueError: it is missing or no text.
    """
    value = state.get(key)
    if not isinstance(value, str):
        raise ValueError(f"{key} is missing or no text")  # noqa: TRY004 - a damaged snapshot is a wrong value
    return value


def nested(prefix: str, state: State) -> State:
    """Return the state with every key put under a prefix."""
    return {f"{prefix}/{key}": value for key, value in state.items()}


def under(prefix: str, state: State) -> State:
    """Return the part of a state that `nested` put under the prefix."""
    start = f"{prefix}/"
    return {key.removeprefix(start): value for key, value in state.items() if key.startswith(start)}
