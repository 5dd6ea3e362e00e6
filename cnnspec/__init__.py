"""cnnspec: a small language for convolutional nets, compiled to fast kernels for the CPU.

    >>> import cnnspec
    >>> net = cnnspec.parse("input 8x8x1 -> flatten -> dense 10")
    >>> net.output_shape
    (10,)

The names below are resolved on first use, so that ``import cnnspec`` loads neither numpy nor numba.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOME = {
    "Net": ".api",
    "load": ".api",
    "parse": ".api",
    "CnnSpecError": ".errors",
    "SpecError": ".errors",
    "DataError": ".errors",
    "DataWarning": ".errors",
    "MachineError": ".errors",
    "InternalError": ".errors",
}

__all__ = [
    "CnnSpecError",
    "DataError",
    "DataWarning",
    "InternalError",
    "MachineError",
    "Net",
    "SpecError",
    "__version__",
    "load",
    "parse",
]

if TYPE_CHECKING:
    from .api import Net, load, parse
    from .errors import CnnSpecError, DataError, DataWarning, InternalError, MachineError, SpecError


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOME[name], __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
