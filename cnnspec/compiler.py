"""From text to plan: an object whose stages are computed on first use.

    text --parse--> ast --check--> model --build--> graph --passes--> inference --plan--> inference plan
                                         graph --gradients, passes--> backward  --plan--> training plan

Training, inference and traces run plans of this object, and ``cnnspec dump`` prints the same plans. ``summary`` needs
only the model and loads no array library.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from functools import cached_property, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from .errors import Diagnostic, InternalError, SpecError
from .model.check import check, draft
from .model.draft import Draft
from .model.model import Model
from .model.shape_comments import misplaced, shape_comments, stale
from .model.summary import Summary, summarize
from .options import DEFAULT, Options
from .source import Source, Span
from .syntax import ast
from .syntax.parser import parse
from .syntax.shape_comment import MARK
from .syntax.spec_file import read_source
from .syntax.uses import resolve

if TYPE_CHECKING:
    from .ir.graph import Graph
    from .ir.optimizer import Optimizer
    from .plan.plan import Plan


T = TypeVar("T")


def stage(make: Callable[[Any], T]) -> cached_property[T]:
    """Return a property that is computed once.

    Python's collector of cycles pauses meanwhile. A stage makes objects that stay, and the collector would walk all of
    them each time that their number has grown by a quarter: a third of the time of a plan of 5,000 layers.
    """

    @wraps(make)
    def without_collector(self: Compiler) -> T:
        was_on = gc.isenabled()
        gc.disable()
        try:
            return make(self)
        finally:
            if was_on:
                gc.enable()

    return cached_property(without_collector)


class Compiler:
    """The stages of one spec: text, syntax tree, model, graphs and plans.

    Parameters
    ----------
    source : the spec's text and name.
    settings : changes to parameters and settings of the spec, name -> text: ``{"train.epochs": "3"}``.
    options : batch, dtype, dtype of targets and choice of algorithms, for graphs and plans.

    Examples
    --------
    >>> from cnnspec.compiler import Compiler
    >>> Compiler.from_text("input 8x8x1; flatten -> dense 10".replace("; ", chr(10))).summary.params
    650
    """

    def __init__(self, source: Source, settings: Mapping[str, str] | None = None, options: Options = DEFAULT) -> None:
        self.source, self.options = source, options
        self.settings = {name: str(value) for name, value in (settings or {}).items()}

    @classmethod
    def from_path(
        cls, path: str | Path, settings: Mapping[str, str] | None = None, options: Options = DEFAULT
    ) -> Compiler:
        """Return the compiler for a file.

        Raises
        ------
        DataError
            If the file does not exist or cannot be read.
        SpecError
            If it is too large for a spec or not UTF-8.
        """
        return cls(read_source(Path(path)), settings, options)

    @classmethod
    def from_text(
        cls,
        text: str,
        settings: Mapping[str, str] | None = None,
        name: str = "<text>",
        options: Options = DEFAULT,
    ) -> Compiler:
        """Return the compiler for a spec given as text."""
        return cls(Source(name, text), settings, options)

    @classmethod
    def of(cls, model: Model, options: Options = DEFAULT) -> Compiler:
        """Return the compiler for a model that is already checked."""
        made = cls(model.source, dict(model.settings), options)
        made.model = model
        return made

    def with_options(self, **changes: Any) -> Compiler:
        """Return the compiler for the same model with other values of fields of :class:`Options`."""
        return Compiler.of(self.model, replace(self.options, **changes))

    # ---- the spec ---------------------------------------------------------------------------------
    @stage
    def _parsed(self) -> tuple[ast.Spec, list[Diagnostic]]:
        return parse(self.source)

    @stage
    def _whole(self) -> tuple[ast.Spec, list[Diagnostic]]:
        """The syntax tree with the statements of used files in it."""
        spec, errors = self._parsed
        whole, wrong = resolve(spec)
        return whole, [*errors, *wrong]

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

    @stage
    def model(self) -> Model:
        """The checked net. Raises SpecError with every error of the text."""
        spec, errors = self._whole
        return check(spec, errors, self.settings)

    @stage
    def unjudged(self) -> Model:
        """The checked net, whether its ``expect`` lines hold or not. Raises SpecError with every other error."""
        spec, errors = self._whole
        return check(spec, errors, self.settings, judged=False)

    @property
    def draft(self) -> Draft | None:
        """What can be shown of a spec with mistakes: its layers, as far as they are known."""
        spec, errors = self._whole
        return draft(spec, errors, self.settings)

    @stage
    def summary(self) -> Summary:
        """Shapes, parameters and costs, layer by layer."""
        return summarize(self.model)

    @stage
    def findings(self) -> tuple[Diagnostic, ...]:
        """The errors of the spec, shape comments that are not true among them, or the warnings of a whole net."""
        try:
            model, found = self.model, list(self.model.warnings)
        except SpecError as error:
            model, found = None, list(error.diagnostics)
        if MARK not in self.source.text:
            return tuple(found)
        found += misplaced(self.source)
        if model is not None and not any("." not in name for name, _ in model.settings):  # the net as it is written
            found += stale(self.ast, self.summary, model)
        return tuple(sorted(found, key=lambda d: d.span.start))

    def formatted(self, *, shapes: bool = False) -> str:
        """Return the spec in its canonical form, with the same meaning and the same comments.

        Parameters
        ----------
        shapes : write verified shape comments: what each line makes, its parameters, what it sees.

        Raises
        ------
        SpecError
            Where the text cannot be read, or the form is larger than a spec may be; with ``shapes``, where the net
            has a mistake.
        """
        from .syntax.format import format_spec

        facts = shape_comments(self.ast, self.summary, self.model) if shapes else None
        text = format_spec(self.ast, facts)
        try:
            again, errors = parse(Source(self.source.name, text))
        except SpecError:  # deep bodies stand far in
            message, start = "in its one form the text would be larger than a spec may be", Span(self.source, 0, 1)
            hint = "write what repeats by  repeat, for  or a block"
            raise SpecError([Diagnostic("too-large", message, start, hint=hint)]) from None
        if errors or again.statements != self.ast.statements:
            raise InternalError(f"{self.source.name}: the formatted text would mean something else")
        return text

    # ---- graphs -----------------------------------------------------------------------------------
    @stage
    def graph(self) -> Graph:
        """The forward graph of a training step, before all passes."""
        from .passes.build import build_graph

        return build_graph(self.model, training=True, target=self.options.target)

    @stage
    def inference(self) -> Graph:
        """The forward graph of inference after all passes: batch norms folded, activations fused, algorithms chosen."""
        from .passes.pipelines import inference_graph

        return inference_graph(self.model, self.options)

    @stage
    def backward(self) -> Graph:
        """The graph of a training step without the optimizer: forward, loss and gradients, after all passes."""
        from .passes.pipelines import training_graph

        return training_graph(self.model, self.options)

    # ---- plans ------------------------------------------------------------------------------------
    @property
    def batch(self) -> int:
        """Largest number of samples of a run."""
        return self.options.batch or self.model.train.batch

    @stage
    def plan(self) -> Plan:
        """The kernel calls of a training step, the optimizer included."""
        return self._plan(self.backward, self.model.train.optimizer)

    @stage
    def inference_plan(self) -> Plan:
        """The kernel calls of a forward pass with running statistics and of its loss."""
        return self._plan(self.inference)

    @stage
    def diagnosis_plan(self) -> Plan:
        """The kernel calls of a training forward pass that keeps the output of every layer.

        The search for the first layer that is not finite runs it.
        """
        return self.trace_plan([layer.name for layer in self.model.layers], training=True)

    def trace_plan(self, names: Collection[str], *, training: bool = False, gradients: bool = False) -> Plan:
        """Return the plan that keeps outputs of layers and gradients: see ``passes.pipelines.traced_graph``."""
        from .passes.pipelines import traced_graph

        return self._plan(traced_graph(self.model, self.options, names=names, training=training, gradients=gradients))

    def _plan(self, graph: Graph, optimizer: Optimizer | None = None) -> Plan:
        """Return the plan of a graph. A parameter has the same offset in all plans of a net: they share weights."""
        from .lower.compile import compile_plan
        from .lower.values import parameter_space

        places, _ = parameter_space(self.model.params, self.options.dtype)
        return compile_plan(
            graph, batch=self.batch, dtype=self.options.dtype, optimizer=optimizer, parameters=places, given=("x",)
        )
