"""Pixels become the numbers of the net's input: gathered, and normalised channel by channel, by a compiled kernel."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ...abi import signature_of
from ...errors import DataError
from ...kernels import load
from ...model.settings import Normalize

KERNELS = {np.dtype(np.uint8): "take_samples.bytes.f32", np.dtype(np.float32): "take_samples.f32"}  # by type of pixels
_FUNCTION = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)  # others run meanwhile
ROW = 1024  # numbers at most whose scale and shift lie beside one another: they stay in the nearest cache
_WORD = 8  # bytes


@dataclass(frozen=True)
class Normalizer:
    """x = (pixel / white - mean) / std, channel by channel, in float32: the one place where a pixel becomes input.

    A compiled kernel does it where the process has loaded one, as ``Network.compile`` does, for bytes and float32 that
    lie as it reads them; else NumPy does, with the same bits.

    ``white`` is the pixel value that becomes 1: 255 for images, 16 for the embedded digits, 1 for floats.
    """

    white: float = 255.0
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)

    @cached_property
    def _scale(self) -> np.ndarray:
        return (1.0 / (self.white * np.asarray(self.std, np.float64))).astype(np.float32)

    @cached_property
    def _shift(self) -> np.ndarray:
        return (-np.asarray(self.mean, np.float64) / np.asarray(self.std, np.float64)).astype(np.float32)

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        """Return float32[..., C] of pixels uint8[..., C] or floats; float32 comes back itself where nothing is done."""
        if pixels.dtype == np.float32 and self.white == 1 and not any(self.mean) and set(self.std) == {1}:
            return np.ascontiguousarray(pixels)
        x = np.empty(pixels.shape, np.float32)
        self.take(pixels, None, x)
        return x

    def take(self, images: np.ndarray, index: np.ndarray | None, x: np.ndarray) -> None:
        """Write samples of ``images`` [M, ..., C], normalised, to x float32[n, ..., C].

        Parameters
        ----------
        index : the samples to take, int64[n]; all of them, in their order, when None.
        x : C-contiguous.

        Raises
        ------
        IndexError
            When there is no sample of such an index.
        """
        kernel = _kernel(images.dtype)
        if kernel is None or not (images.flags.c_contiguous and images.flags.aligned and images.ndim > 1):
            np.copyto(x, images if index is None else images[index], casting="unsafe")
            x *= self._scale
            if self._shift.any():
                x += self._shift
            return
        index = np.arange(len(x)) if index is None else np.ascontiguousarray(index, np.int64)
        assert x.dtype == np.float32 and x.shape == (len(index), *images.shape[1:])
        scale, shift = self._row(images.shape[1:])
        signature = signature_of(KERNELS[images.dtype])
        rows = math.prod(images.shape[1:]) // scale.size
        numbers = signature.argument_tuple(samples=len(images), rows=rows, row_elements=scale.size)
        words = (ctypes.c_int64 * (2 + len(signature.operands) + len(numbers)))()  # one is where it says what is wrong
        place = ctypes.addressof(words)
        operands = signature.operand_tuple(
            images=images.ctypes.data,
            index=index.ctypes.data,
            scale=scale.ctypes.data,
            shift=shift.ctypes.data,
            x=x.ctypes.data,
            wrong=place,
        )
        words[1 : 1 + len(operands)] = operands
        words[1 + len(operands) : -1] = numbers
        kernel(place + _WORD, place + _WORD * (1 + len(operands)), len(index))
        if words[0]:
            raise IndexError(f"indices from {index.min()} to {index.max()} into {len(images)} samples")

    def _row(self, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
        """Return scale and shift of the numbers of a row: as many of a sample as a kernel goes over at a time."""
        if shape not in self._rows:
            *outer, channels = shape
            pixels = math.prod(outer)
            most = max(1, ROW // channels)
            count = next(n for n in range(min(pixels, most), 0, -1) if pixels % n == 0)
            shift = self._shift if self._shift.any() else np.float32(-0.0)  # to add -0 changes no number, not even 0
            arrays = [np.ascontiguousarray(np.broadcast_to(v, (count, channels))) for v in (self._scale, shift)]
            self._rows[shape] = arrays[0].ravel(), arrays[1].ravel()
        return self._rows[shape]

    @cached_property
    def _rows(self) -> dict[tuple[int, ...], tuple[np.ndarray, np.ndarray]]:
        return {}


def _kernel(dtype: np.dtype[Any]) -> Callable[[int, int, int], None] | None:
    """Return the kernel for pixels of a type, as a function; None where there is none."""
    address = load.loaded(KERNELS[dtype]) if dtype in KERNELS else 0
    return _FUNCTION(address) if address else None


def normalizer_for(normalize: Normalize | None, channels: int, white: float = 255.0) -> Normalizer:
    """Return the normaliser of a ``data`` section; pixel / white where it says nothing.

    Raises
    ------
    DataError
        When mean or std is neither one number nor one a channel, or a std is not above zero.
    """
    if normalize is None:
        return Normalizer(white)
    for name, numbers in (("mean", normalize.mean), ("std", normalize.std)):
        if len(numbers) not in (1, channels):
            raise DataError(
                "the number of values does not fit the channels",
                field=f"data: normalize {name}",
                expected=f"1 or {channels} numbers",
                found=f"{len(numbers)} numbers",
            )
    if min(normalize.std) <= 0:
        raise DataError(
            "a standard deviation must be above zero",
            field="data: normalize std",
            expected="numbers above 0",
            found=f"{min(normalize.std):g}",
        )
    return Normalizer(white, tuple(normalize.mean), tuple(normalize.std))
