"""Filters made by hand: the numbers that output channels of a convolution begin with."""

from __future__ import annotations

from dataclasses import dataclass

Rows = tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class Filter:
    """A filter of known numbers.

    Attributes
    ----------
    name : as a spec writes it: ``vertical``, ``gabor(45, 4)``.
    planes : rows of numbers of each input channel, all of one size.
    every : whether the one plane stands in every input channel, however many there are.
    """

    name: str
    planes: tuple[Rows, ...]
    every: bool = True

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns."""
        return len(self.planes[0]), len(self.planes[0][0])

    def __str__(self) -> str:
        return self.name
