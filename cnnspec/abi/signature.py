"""Signatures: names, order and kinds of a kernel's operands and arguments."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ..errors import InternalError


@dataclass(frozen=True)
class Field:
    """One operand or argument.

    Attributes
    ----------
    name : by which lowering packs it and kernels read it.
    kind : operands: element type, "" for the type of the kernel; arguments: ``float`` (the bits of a float64) or "".
    write : whether the kernel writes the operand.
    """

    name: str
    kind: str = ""
    write: bool = False


@dataclass(frozen=True)
class Signature:
    """What one kernel is called with: the addresses ``p`` of its operands and the numbers ``a``, in this order."""

    operands: tuple[Field, ...]
    arguments: tuple[Field, ...]

    @cached_property
    def operand_tuple(self) -> Any:
        """The namedtuple class that holds one thing for each operand."""
        return namedtuple("Operands", [f.name for f in self.operands])

    @cached_property
    def argument_tuple(self) -> Any:
        """The namedtuple class that holds one thing for each argument."""
        return namedtuple("Arguments", [f.name for f in self.arguments])

    def places(self) -> tuple[Any, Any]:
        """Return (P, A), namedtuples of indices: kernels read ``p[P.x]`` and ``a[A.height]``."""
        return (
            self.operand_tuple._make(range(len(self.operands))),
            self.argument_tuple._make(range(len(self.arguments))),
        )

    def pack(self, kernel: str, operands: Mapping[str, Any], arguments: Mapping[str, Any]) -> tuple[Any, Any]:
        """Return operands and arguments in the kernel's order; InternalError where a name is missing or unknown."""
        packed = []
        for made, given, what in (
            (self.operand_tuple, operands, "operand"),
            (self.argument_tuple, arguments, "argument"),
        ):
            for name in made._fields:
                if name not in given:
                    raise InternalError(f"invalid call: {kernel} needs the {what} {name}; please report this")
            for name in given:
                if name not in made._fields:
                    raise InternalError(f"invalid call: {kernel} has no {what} {name}; please report this")
            packed.append(made(**given))
        return packed[0], packed[1]


def parse(operands: str, arguments: str, words: frozenset[str]) -> Signature:
    """Return the signature of the variant of a kernel that has these words in its name.

    A field is written NAME, NAME! (an operand that is written) or NAME:KIND. NAME@WORD exists only in variants with
    the word, NAME@-WORD only in variants without it.
    """

    def fields(text: str) -> tuple[Field, ...]:
        found = []
        for entry in text.split():
            entry, _, word = entry.partition("@")
            if word and (word.removeprefix("-") in words) == word.startswith("-"):
                continue
            name, _, kind = entry.partition(":")
            found.append(Field(name.removesuffix("!"), kind, name.endswith("!")))
        return tuple(found)

    return Signature(fields(operands), fields(arguments))


def strides(operands: str, word: str = "") -> str:
    """Return, for each operand, the arguments that hold elements from sample to sample, row to row, pixel to pixel."""
    return _each(operands, ("sample_stride", "row_stride", "pixel_stride"), word)


def line_strides(operands: str) -> str:
    """Return the same for operands whose rows have no gap between pixels: samples and rows."""
    return _each(operands, ("sample_stride", "row_stride"))


def sample_strides(operands: str) -> str:
    """Return the same for operands that are one vector a sample."""
    return _each(operands, ("sample_stride",))


def _each(operands: str, ends: tuple[str, ...], word: str = "") -> str:
    condition = f"@{word}" if word else ""
    return " ".join(f"{name}_{end}{condition}" for name in operands.split() for end in ends)
