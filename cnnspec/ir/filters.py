"""Filters made by hand: the numbers that output channels of a convolution begin with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

Rows = tuple[tuple[float, ...], ...]


class Formula(Protocol):
    """Works out the numbers of a filter when they are asked for."""

    def rows(self) -> Rows:
        """Return the numbers, row by row."""


@dataclass(frozen=True)
class Filter:
    """A filter of known numbers.

    Attributes
    ----------
    name : as a spec writes it: ``vertical``, ``gabor(45, 4)``.
    size : rows and columns.
    numbers : rows of numbers of each input channel, or the formula of a built-in filter.
    every : whether the one plane stands in every input channel, however many there are.
    """

    name: str
    size: tuple[int, int]
    numbers: tuple[Rows, ...] | Formula
    every: bool = True

    @property
    def channels(self) -> int:
        """Input channels that it has numbers for."""
        return len(self.numbers) if isinstance(self.numbers, tuple) else 1

    @property
    def planes(self) -> tuple[Rows, ...]:
        """Rows of numbers of each input channel."""
        return self.numbers if isinstance(self.numbers, tuple) else (self.numbers.rows(),)

    def __str__(self) -> str:
        return self.name
