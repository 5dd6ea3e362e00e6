"""The road from text to result in one place: an object whose stages are computed on first use.

    text --parse--> ast --check--> model --build--> graph --passes--> plan

Asking for ``summary`` stops at the model and touches no array.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import DataError, Diagnostic, SpecError, did_you_mean
from .model.check import check
from .model.model import Model
from .model.summary import Summary, summarize
from .reading import open_file
from .source import Source, Span
from .syntax import ast
from .syntax.parser import MAX_BYTES, parse, too_large

if TYPE_CHECKING:
    from .ir.graph import Graph
    from .plan.plan import Plan


class Compiler:
    """One spec on its way from text to weights.

    Parameters
    ----------
    source : the spec's text and name.
    settings : parameters and settings to change, by name, each as text: ``{"train.epochs": "3"}``.
    exact : keep convolutions on their direct algorithms (passes/pipelines.py).

    Examples
    --------
    >>> from cnnspec.compiler import Compiler
    >>> Compiler.from_text("input 8x8x1; flatten -> dense 10".replace("; ", chr(10))).summary.params
    650
    """

    def __init__(self, source: Source, settings: Mapping[str, str] | None = None, exact: bool = False) -> None:
        self.source, self.exact = source, exact
        self.settings = {name: str(value) for name, value in (settings or {}).items()}

    @classmethod
    def from_path(cls, path: str | Path, settings: Mapping[str, str] | None = None, exact: bool = False) -> Compiler:
        """Return the compiler for a file.

        Raises
        ------
        DataError
            If there is no such file, or it cannot be read.
        SpecError
            If it is too large for a spec or not UTF-8.
        """
        return cls(read_source(Path(path)), settings, exact)

    @classmethod
    def from_text(
        cls, text: str, settings: Mapping[str, str] | None = None, name: str = "<text>", exact: bool = False
    ) -> Compiler:
        """Return the compiler for a spec given as text."""
        return cls(Source(name, text), settings, exact)

    @cached_property
    def _parsed(self) -> tuple[ast.Spec, list[Diagnostic]]:
        return parse(self.source)

    @property
    def ast(self) -> ast.Spec:
        """The syntax tree. Raises SpecError where the text cannot be read."""
        spec, errors = self._parsed
        if errors:
            raise SpecError(errors)
        return spec

    @property
    def ast_text(self) -> str:
        """The syntax tree as text, each node with its line and column."""
        from .syntax.text import print_ast

        return print_ast(self.ast)

    @cached_property
    def model(self) -> Model:
        """The checked net. Raises SpecError with every error of the text."""
        spec, errors = self._parsed
        return check(spec, errors, self.settings)

    @cached_property
    def summary(self) -> Summary:
        """Shapes, parameters and costs, layer by layer."""
        return summarize(self.model)

    @cached_property
    def graph(self) -> Graph:
        """The forward graph of a training step, as it was built."""
        from .ir.build import build_graph

        return build_graph(self.model, training=True)

    @cached_property
    def inference(self) -> Graph:
        """The forward graph of inference: batch norms folded, activations fused, algorithms chosen."""
        from .passes.pipelines import inference_graph

        return inference_graph(self.model, exact=self.exact)

    @cached_property
    def backward(self) -> Graph:
        """The whole training step but the optimizer: forward, loss and gradients, after all passes."""
        from .passes.pipelines import training_graph

        return training_graph(self.model, exact=self.exact)

    def plan(self, batch: int | None = None) -> Plan:
        """The kernel calls of a training step on at most ``batch`` samples (the spec's batch when None)."""
        from .plan.compile import compile_plan
        from .plan.optimizer import update_of

        update = update_of(self.model.train.optimizer)
        return compile_plan(self.backward, batch=batch or self.model.train.batch, update=update, given=("x",))


def read_source(path: Path) -> Source:
    """Return the text of a spec file; too large, unreadable and non-UTF-8 files are told apart."""
    name = str(path)
    if os.path.isdir(path):
        raise DataError("this is a folder, not a spec", path=path, hint="name a .cnn file")
    if not os.path.exists(path) and os.access(path.parent, os.X_OK):
        raise DataError("there is no such file", path=path, hint=_other_specs(path))
    with open_file(path, missing="there is no such file", pipe=True) as file:
        data = file.read(MAX_BYTES + 1)
        size = max(len(data), os.fstat(file.fileno()).st_size)  # a pipe has no size of its own
    if size > MAX_BYTES:
        raise too_large(name, size, data[:80].decode("utf-8", "replace").split("\n")[0])
    return decode(name, data)


def decode(name: str, data: bytes) -> Source:
    """Return the text of a spec from its bytes. Raises SpecError at the first byte that is not UTF-8."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        start = error.start + (3 if data.startswith(b"\xef\xbb\xbf") else 0)
        readable = data[:start].decode("utf-8", "replace")
        line_end = data.find(b"\n", start)
        rest = data[start : line_end if line_end >= 0 else len(data)].decode("latin-1")
        source = Source(name, readable + "".join(c if c.isprintable() else "?" for c in rest))
        here = Span(source, len(readable), len(readable) + 1)
        raise SpecError(
            [
                Diagnostic(
                    "encoding",
                    "the file is not UTF-8",
                    here,
                    f"byte 0x{data[start]:02X} at offset {start} is not UTF-8",
                    hint="save the file as UTF-8 in your editor",
                )
            ]
        ) from None
    return Source(name, text)


def _other_specs(path: Path) -> str:
    try:
        names = [p.name for p in path.resolve().parent.glob("*.cnn")]
    except (OSError, ValueError):  # ValueError: a name with a NUL
        names = []
    stem = path.name.removesuffix(".cnn")  # all share the suffix: it makes none of them near
    stems = [name.removesuffix(".cnn") for name in names]
    near = stem if stem in stems else did_you_mean(stem, stems)
    if near:
        return f"did you mean {path.parent / near}.cnn?"
    return "cnnspec new digits  writes a first spec" if not names else f"here are: {', '.join(sorted(names)[:8])}"
