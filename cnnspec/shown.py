"""Progress and warnings that Python shows a person: by the views of the command line.

The package itself prints nothing: docs/adr/0021-python-shows-the-views-of-the-command-line.md.
"""

from __future__ import annotations

import sys
import warnings
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

from .errors import DataWarning
from .text import visible

if TYPE_CHECKING:
    from .kernels.effort import Progress
    from .runtime.events import Reporter


def tell(*notes: str) -> None:
    """Tell the caller of the caller what should be known of the data."""
    for note in filter(None, notes):
        warnings.warn(visible(note), DataWarning, stacklevel=3)


def training_view(progress: bool | None) -> AbstractContextManager[Reporter | None]:
    """Return the command line's view of a training, where it is asked for or a person looks on."""
    from .cli.progress import TrainingView
    from .cli.render import in_notebook

    shown = progress if progress is not None else sys.stdout.isatty() or in_notebook()
    return TrainingView() if shown else nullcontext()


def compile_view(progress: bool | None) -> AbstractContextManager[Progress | None]:
    """Return the command line's view of kernels that compile; None and True as in :func:`training_view`."""
    from .cli.progress import CompileView

    return nullcontext() if progress is False else CompileView(watched=progress is None)
