"""Typed fields of ops and settings, and the arrays that an op owns.

A field is declared once. The declaration drives checks, "did you mean", help and the printed graph.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from .filters import Filter

if TYPE_CHECKING:
    from typing_extensions import dataclass_transform
else:

    def dataclass_transform(**_: Any) -> Any:
        """Stand in for ``typing.dataclass_transform`` of Python 3.11: it does nothing at run time."""
        return lambda decorator: decorator


Shape = tuple[int, ...]  # of one sample, without the batch: (H, W, C) or (F,)
Pair = tuple[int, int]

REQUIRED: Any = object()


@dataclass(frozen=True)
class Attr:
    """The declaration of one field: its form in a spec and its allowed values.

    Kinds: ``int``, ``float``, ``bool`` (yes/no), ``word`` (one of ``choices``), ``size`` (3 or 3x5, a pair),
    ``window`` (a size, or the word ``global`` which is stored as None), ``padding`` (``same``, ``none``,
    an int or a size; stored as a pair, or as "same"), ``floats`` (one number, or one for each channel, as a tuple),
    ``filters`` (a list of filters and of numbers of learned ones), ``str`` (text in quotes), ``hidden`` (set by passes
    and builders, never written).
    """

    kind: str
    doc: str = ""
    key: str = ""  # the word before "=" in a spec; the field's own name when empty
    positional: bool = False  # may also be written without a key, in the order of declaration
    default: Any = REQUIRED
    min: float | None = None
    max: float | None = None
    choices: tuple[str, ...] = ()
    says: tuple[str, ...] = ()  # fields whose values follow from this one, so that they are not written beside it
    function: bool = True  # whether the layer's function of equal weights depends on it


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
    says: Sequence[str] = (),
    function: bool = True,
) -> Any:
    """Declare one field of an op or a setting; see :class:`Attr`."""
    meta = {"attr": Attr(kind, doc, key, positional, default, min, max, tuple(choices), tuple(says), function)}
    if default is REQUIRED:
        return dataclasses.field(metadata=meta)
    return dataclasses.field(default=default, metadata=meta)


_ATTRS: dict[type, Mapping[str, Attr]] = {}  # of the classes that attrs_of was asked for


def attrs_of(cls: type) -> Mapping[str, Attr]:
    """Return the declared fields of an op or settings class by field name, in order, keys filled in."""
    if cls not in _ATTRS:
        declared = {f.name: f.metadata["attr"] for f in dataclasses.fields(cls) if "attr" in f.metadata}
        _ATTRS[cls] = {name: dataclasses.replace(a, key=a.key or name) for name, a in declared.items()}
    return _ATTRS[cls]


@dataclass(frozen=True)
class Param:
    """One array that an op owns.

    ``init`` names an initialiser of runtime/initialize.py: ``zeros``, ``ones``, ``kaiming_uniform`` (He et al. 2015,
    with a = sqrt(5), which is uniform in +-1/sqrt(fan_in)). ``trainable`` is false for running statistics.
    ``made`` has the output channels that begin as filters made by hand (a bias as 0); the others are drawn. Before the
    epoch ``frozen_until`` (inf: ever) training leaves the output channels ``held`` as they are; all of them where none
    are named.
    """

    name: str
    shape: Shape
    init: str = "zeros"
    fan_in: int = 0
    trainable: bool = True
    groups: int = 1  # groups of the convolution that owns this weight
    made: tuple[tuple[int, Filter], ...] = ()
    held: tuple[int, ...] = ()
    frozen_until: float = 0

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    def frozen_channels(self, epoch: int = 1) -> tuple[int, ...]:
        """Return the output channels that an epoch leaves as they are, where it changes others."""
        return self.held if epoch < self.frozen_until and not self.is_frozen(epoch) else ()

    def is_frozen(self, epoch: int = 1) -> bool:
        """Return whether an epoch leaves all of it as it is."""
        return epoch < self.frozen_until and len(self.held) in (0, self.shape[-1])

    @property
    def first_epoch(self) -> float:
        """The first epoch that changes any of it."""
        return self.frozen_until if self.is_frozen() else 1

    def frozen_size(self, epoch: int = 1) -> int:
        """Return how many elements an epoch leaves as they are."""
        share = self.shape[-1] if self.is_frozen(epoch) else len(self.frozen_channels(epoch))
        return self.size // self.shape[-1] * share


def phases_of(params: Iterable[Param]) -> tuple[float, ...]:
    """Return the epochs from which more of some parameters is trained than before, the first epoch among them."""
    return (1, *sorted({p.frozen_until for p in params if p.trainable and 1 < p.frozen_until < math.inf}))


T = TypeVar("T", bound=type)


@dataclass_transform(frozen_default=True, field_specifiers=(attr,))
def declared(cls: T) -> T:
    """Make a class a frozen dataclass. Two objects are equal if they have the same type and equal fields.

    All classes share three methods. The dataclass decorator would generate them for each class, which would double the
    time of the import.
    """
    made: Any = dataclass(frozen=True, eq=False, repr=False)(cls)
    made.__eq__, made.__hash__, made.__repr__ = _is_equal, _hash, _show
    return made


def _is_equal(self: object, other: object) -> bool:
    return type(self) is type(other) and vars(self) == vars(other)


def _hash(self: object) -> int:
    return hash((type(self), *vars(self).items()))


def _show(self: object) -> str:
    return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in vars(self).items())})"


def dims(shape: Sequence[int | str]) -> str:
    """Return a shape as users write it: ``28x28x16`` (height x width x channels)."""
    return "x".join(str(d) for d in shape)
