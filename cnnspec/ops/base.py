"""What an op is: typed fields, a shape rule, parameters, cost and gradient, in one class.

A class registered by :func:`layer` may be written in a spec under that name; one registered by :func:`op`
exists only in graphs (gradients, losses). The declared fields drive everything else: checking, "did you
mean", help, the printed graph. See docs/adding-a-layer.md.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

if TYPE_CHECKING:
    from typing_extensions import dataclass_transform

    from ..ir.graph import Builder, Node, Value
else:

    def dataclass_transform(**_: Any) -> Any:
        """What typing has from Python 3.11 on; at run time it does nothing."""
        return lambda decorator: decorator


Shape = tuple[int, ...]  # of one sample: (H, W, C) or (F,); the batch is never part of it
Pair = tuple[int, int]

REQUIRED: Any = object()


@dataclass(frozen=True)
class Attr:
    """The declaration of one field: how a spec writes it and which values it takes.

    Kinds: ``int``, ``float``, ``bool`` (yes/no), ``word`` (one of ``choices``), ``size`` (3 or 3x5, a pair),
    ``window`` (a size, or the word ``global`` which is stored as None), ``padding`` (``same``, ``none``,
    an int or a size; stored as a pair, or as "same"), ``hidden`` (set by passes and builders, never written).
    """

    kind: str
    doc: str = ""
    key: str = ""  # what a spec writes before "="; the field's own name when empty
    positional: bool = False  # may also stand without a key, in the order of declaration
    default: Any = REQUIRED
    min: float | None = None
    max: float | None = None
    choices: tuple[str, ...] = ()


def attr(
    kind: str,
    doc: str = "",
    *,
    key: str = "",
    positional: bool = False,
    default: Any = REQUIRED,
    min: float | None = None,
    max: float | None = None,
    choices: Sequence[str] = (),
) -> Any:
    """Declare one field of an op or a setting; see :class:`Attr`."""
    meta = {"attr": Attr(kind, doc, key, positional, default, min, max, tuple(choices))}
    if default is REQUIRED:
        return dataclasses.field(metadata=meta)
    return dataclasses.field(default=default, metadata=meta)


def attrs_of(cls: type) -> dict[str, Attr]:
    """Return the declared fields of an op or settings class by field name, in order, keys filled in."""
    declared: dict[str, Attr] = {}
    for f in dataclasses.fields(cls):
        a = f.metadata.get("attr")
        if a is not None:
            declared[f.name] = dataclasses.replace(a, key=a.key or f.name)
    return declared


@dataclass(frozen=True)
class Param:
    """One array that an op owns.

    ``init`` names an initialiser of runtime/initialize.py: ``zeros``, ``ones``, ``kaiming_uniform`` (He et al. 2015,
    with a = sqrt(5), which is uniform in +-1/sqrt(fan_in)). ``trainable`` is false for running statistics.
    """

    name: str
    shape: Shape
    init: str = "zeros"
    fan_in: int = 0
    trainable: bool = True
    groups: int = 1  # of a convolution's weight

    @property
    def size(self) -> int:
        """Number of elements."""
        n = 1
        for s in self.shape:
            n *= s
        return n


class Op:
    """Base of all ops. Subclasses are frozen dataclasses; see the module docstring of ops/conv.py."""

    name: ClassVar[str] = ""
    arity: ClassVar[int | None] = 1  # number of activation inputs; None for any number from two on

    def fields(self) -> dict[str, Any]:
        """Return the op's fields by name."""
        return {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}  # type: ignore[arg-type]

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and self.fields() == other.fields()

    def __hash__(self) -> int:
        return hash((type(self), tuple(self.fields().items())))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in self.fields().items())})"

    # ---- of a layer -----------------------------------------------------------------------------
    def infer(self, *xs: Any, **_: Any) -> Shape:
        """Return the shape of one output sample; raise ShapeRuleError naming what failed."""
        raise NotImplementedError

    def params(self, *xs: Any, **_: Any) -> tuple[Param, ...]:
        """Return the arrays this op owns, in the order of the node's inputs after the activations."""
        return ()

    def macs(self, xs: tuple[Shape, ...], y: Shape) -> int:
        """Return the multiply-accumulates of one forward call on one sample."""
        return 0

    def window(self, x: Shape) -> tuple[Pair, Pair] | None:
        """Return (effective kernel size, stride) where the op looks at neighbours, for receptive fields."""
        return None

    def build(self, b: Builder, xs: Sequence[Value], params: Sequence[Value], training: bool) -> Value:
        """Append the op's forward nodes to a graph and return its output; one node unless overridden."""
        return b.add(self, *xs, *params)

    # ---- of a node ------------------------------------------------------------------------------
    def results(self, *inputs: Value) -> list[tuple[tuple[int | str, ...], str]]:
        """Return shape and dtype of each output of a node with these inputs (batch first, as "N")."""
        xs = inputs[: self.arity] if self.arity is not None else inputs
        sample = self.infer(*(tuple(int(d) for d in x.shape[1:]) for x in xs))
        return [(("N", *sample), "f32")]

    def vjp(self, b: Builder, node: Node, *dys: Value | None) -> list[Value | None]:
        """Append the gradient nodes and return one gradient (or None) for each input of the node."""
        raise NotImplementedError(f"{self.name} has no gradient")


LAYERS: dict[str, type[Op]] = {}  # what a spec may write
OPS: dict[str, type[Op]] = {}  # all ops, layers included

T = TypeVar("T", bound=type)


@dataclass_transform(frozen_default=True, field_specifiers=(attr,))
def op(name: str) -> Callable[[T], T]:
    """Register a class as a graph op and make it a frozen dataclass."""

    def register(cls: T) -> T:
        assert name not in OPS, f"op {name!r} is registered twice"
        cls.name = name  # type: ignore[attr-defined]
        frozen: Any = dataclass(frozen=True, eq=False, repr=False)(cls)  # Op has these; making them costs time
        OPS[name] = frozen
        return frozen

    return register


@dataclass_transform(frozen_default=True, field_specifiers=(attr,))
def layer(name: str) -> Callable[[T], T]:
    """Register a class as an op that a spec may write under this name."""

    def register(cls: T) -> T:
        made = op(name)(cls)
        LAYERS[name] = made
        return made

    return register


def dims(shape: Sequence[int | str]) -> str:
    """Return a shape as users write it: ``28x28x16`` (height x width x channels)."""
    return "x".join(str(d) for d in shape)
