"""Output channels that training leaves as they are, in a parameter whose other channels learn.

The optimizer's kernels update whole parameters. So the numbers of frozen channels are kept before each step, and put
back behind it: to the bit, whatever the optimizer and its weight decay did. The kernels of a plan are those of a net
without frozen channels.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..ir.fields import Param
from .pack import pack


class Held:
    """The frozen channels of parameters in an epoch. ``slots``: the memory of each parameter, by name."""

    def __init__(self, slots: Mapping[str, tuple[np.ndarray, Param]], epoch: int) -> None:
        self._places: list[tuple[np.ndarray, np.ndarray]] = []
        self._kept: list[np.ndarray] = []
        for memory, param in slots.values():
            channels = param.frozen_channels(epoch)
            if channels:
                mask, packed = np.zeros(param.shape, memory.dtype), np.empty_like(memory)
                mask[..., channels] = 1
                pack(mask, param.groups, packed)
                self._places.append((memory, np.flatnonzero(packed)))

    def keep(self) -> None:
        """Copy the numbers as they are before a step."""
        self._kept = [memory[places] for memory, places in self._places]

    def put_back(self) -> None:
        """Give the numbers back the values that they had when they were kept."""
        for (memory, places), kept in zip(self._places, self._kept, strict=True):
            memory[places] = kept
