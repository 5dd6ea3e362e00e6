"""From syntax tree to model: every error of a spec in one go, or a checked net.

The order: declarations and parameters first, wherever they stand; then the sections; then the net, walked by
:mod:`expand`; then the judgement of the whole.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TypeVar

from ..errors import Diagnostic, Fix, SpecError
from ..ir.fields import Shape
from ..ops import LAYERS
from ..source import Source, Span
from ..syntax import ast
from ..syntax.words import CLAUSES, STRUCTURE
from .belongs import SECTION_OF, Statements, belongs, statements_of
from .blocks import find_recursion, walk_uncalled
from .data_and_train import data_settings, train_settings
from .declarations import Declarations
from .draft import Draft, draft_of
from .expand import Expander
from .expects import METRICS, judge
from .filter_statements import read_filters
from .findings import guessed, twice
from .frozen import freeze_layers
from .guess import meant
from .model import INPUT, Expect, Layer, Model
from .names import NameScope
from .overrides import full_names, read_overrides
from .sections import Override, SectionReader
from .settings import DataSettings
from .summary import static_metrics
from .sweeps import Sweep, SweepReader
from .values import UNKNOWN, Scope, Unknown, Value, attempt, evaluate, number
from .walk import LOST, MAX_STEPS, Cursor, Env, Labels, Placed, TooMuch, Variables
from .whole import judge_net

MAX_REPORTED = 50

T = TypeVar("T", bound=ast.Node)


def check(
    spec: ast.Spec,
    syntax_errors: Sequence[Diagnostic] = (),
    settings: Mapping[str, str] | None = None,
    *,
    judged: bool = True,
) -> Model:
    """Return the model that a spec describes.

    Parameters
    ----------
    spec : from :func:`cnnspec.syntax.parser.parse`.
    syntax_errors : what the parser found; reported together with what is found here.
    settings : parameters and settings to change, by name, each as text (``--set width=0.5``).
    judged : whether an ``expect`` line that fails is an error.

    Raises
    ------
    SpecError
        With every error found, in the order of the text.
    """
    return _Checker(spec, list(syntax_errors), dict(settings or {}), judged).model()


def draft(spec: ast.Spec, syntax_errors: Sequence[Diagnostic], settings: Mapping[str, str]) -> Draft | None:
    """Return what can be shown of a spec with mistakes; None where no input is known, or the net is too large."""
    checker = _Checker(spec, list(syntax_errors), dict(settings))
    with suppress(SpecError):
        checker.model()
    if checker.walked is None:
        return None
    expander, names, missed = checker.walked
    if expander.input_shape is None:
        return None
    return draft_of(spec.source.name, expander.input_shape, expander.placed, expander.missed[:missed], names.assign())


@dataclass
class _Checker:
    spec: ast.Spec
    diagnostics: list[Diagnostic]
    settings: dict[str, str]
    judged: bool = True
    is_trial: bool = False  # of one value of a sweep
    steps: int = 0  # of the walk through the net, and of the trials of a sweep
    variables: dict[str, Value] = field(default_factory=dict)
    changed: bool = False  # whether --set changed a parameter of the net
    said: Statements = field(default_factory=dict)
    _seen: set[tuple[str, str, int]] = field(default_factory=set)
    walked: tuple[Expander, NameScope, int] | None = None  # and how many steps it missed

    def report(self, d: Diagnostic) -> None:
        """Keep a diagnostic; the same one at the same place (in another round of a repeat) is kept once."""
        if not self.spec.whole and d.code in ("unknown-layer", "unknown-name"):
            return  # what a used file would have said
        key = (d.message, d.span.source.name, d.span.start)
        if key not in self._seen:
            self._seen.add(key)
            self.diagnostics.append(d)

    @property
    def scope(self) -> Scope:
        """What names mean outside the net."""
        return Scope(self.variables, in_net=False)

    @property
    def errors(self) -> list[Diagnostic]:
        return [d for d in self.diagnostics if d.severity == "error"]

    def of(self, kind: type[T]) -> list[T]:
        return [s for s in self.spec.statements if isinstance(s, kind)]

    def model(self) -> Model:
        unread = bool(self.diagnostics)
        self.said = statements_of(self.spec)
        declared = Declarations(self.spec, self.scope, self.report)
        declared.version()
        overrides = self._parameters()
        self.variables |= read_filters(self.of(ast.FilterStatement), self.variables, self.report)
        input_shape = declared.input(unread)
        data_reader, section = self._section(declared, "data", overrides)
        data = data_settings(data_reader, section, input_shape)
        classes, classes_from = declared.classes(data)
        if classes is not None:
            self.variables["classes"] = classes
        elif data_reader.lost or unread:
            self.variables["classes"] = UNKNOWN
        train_reader, section = self._section(declared, "train", overrides)
        train = train_settings(train_reader, section, data, {o.statement for o in overrides})

        sweeps, sweep = self._sweep(declared, data)
        expects = self._expects()
        names, expander, end = self._net(declared, input_shape, unread)
        model = None
        if end.index >= 0 and not self.errors:
            by_index = names.assign()
            judge_net(expander.placed, by_index, end, classes, classes_from, train, self.report)
            assert input_shape is not None
            layers = freeze_layers(_layers(expander.placed, by_index), train_reader.repeated, train, self.report)
            model = Model(
                self.spec.source,
                input_shape,
                layers,
                by_index[end.index],
                classes,
                data,
                train,
                tuple(expects),
                tuple(self.settings.items()),
                sweep=sweep,
                used=self.spec.used,
            )
            if self.judged and not self.changed:  # an expectation speaks of the net as it is written
                for failed in judge(expects, static_metrics(model)):
                    self.report(failed)
            if not self.errors:
                sweeps.try_parameters()
        if self.errors or model is None:
            raise SpecError(_in_order(self.errors, self.spec.source))
        return replace(model, warnings=tuple(_in_order(self.diagnostics, self.spec.source)))

    # ---- what stands around the net ---------------------------------------------------------------
    def _parameters(self) -> list[Override]:
        """Fill ``variables`` from ``param`` lines and ``--set``; return the settings that --set changes."""
        parameters = {p.name for p in self.of(ast.ParamStatement)}
        self.settings = full_names(self.settings, parameters)
        given, overrides, errors = read_overrides(self.settings, parameters, self.said)
        for error in errors:
            self.report(error)
        for setting in self.of(ast.Setting):
            self.report(self._no_statement(setting))
        self.changed = bool(given)
        seen: dict[str, Span] = {}
        for p in self.of(ast.ParamStatement):
            if p.name in seen:
                self.report(twice(f"the parameter `{p.name}` is given twice", p.name_span, seen[p.name]))
                continue
            seen[p.name] = p.name_span
            self.variables[p.name] = attempt(evaluate, given.get(p.name, p.value), self.scope, self.report)
        return overrides

    def _no_statement(self, setting: ast.Setting) -> Diagnostic:
        """Return the diagnostic for a line ``width = 0.5``, whose ``param`` was forgotten."""
        message = f"`{setting.name} = ...` is no statement"
        value = " ".join(setting.value.span.text.split())
        used = len(re.findall(rf"(?<![\w.]){re.escape(setting.name)}(?![\w.])", self.spec.source.text)) > 1
        place = belongs(setting.name, value, self.said)
        from ..syntax.foreign import translate  # rarely needed

        layer = translate(value) if isinstance(setting.value, ast.Call) else None
        if layer is not None:
            fix = Fix(setting.span, layer[0], sure=layer[1])
            label = "here a layer is its name and its arguments"
            return Diagnostic("structure", message, setting.span, label, hint=f"write  {layer[0]}", fix=fix)
        if setting.name in SECTION_OF:
            hint = f"write  {setting.name} {value}  inside  {SECTION_OF[setting.name]} {{ ... }}"
            return Diagnostic("structure", message, setting.span, hint=hint)
        if place is not None and not used:
            return Diagnostic("structure", message, setting.span, place.about, hint=place.hint())
        start = Span(setting.span.source, setting.span.start, setting.span.start)
        hint = f"write  param {setting.name} = {value}"
        if isinstance(setting.value, ast.Call) and not used:  # model = Sequential([...])
            hint = "a net is its layers, each on a line, from the input on"
            return Diagnostic("structure", message, setting.span, hint=hint)
        return Diagnostic("structure", message, setting.span, hint=hint, fix=Fix(start, "param ", sure=used))

    def _section(
        self, declared: Declarations, word: str, overrides: Sequence[Override]
    ) -> tuple[SectionReader, ast.Section | None]:
        """Return a reader that has read the one section of this name, and the section itself."""
        section = declared.once([s for s in self.of(ast.Section) if s.word == word], word)
        reader = SectionReader(word, self.scope, self.report, self.said)
        reader.read(section, [o for o in overrides if o.section == word])
        return reader, section

    def _sweep(self, declared: Declarations, data: DataSettings | None) -> tuple[SweepReader, Sweep | None]:
        """Return what the sweep of the spec varies, each value of a setting judged as ``--set`` would be."""
        section = declared.once([s for s in self.of(ast.Section) if s.word == "sweep"], "sweep")

        def change(override: Override) -> None:
            reader, changed = self._section(declared, override.section, [override])
            if override.section == "train":
                train_settings(reader, changed, data, {override.statement})

        def try_net(name: str, text: str) -> None:
            if self.steps < MAX_STEPS:  # of all trials together
                trial = _Checker(self.spec, [], {**self.settings, name: text}, is_trial=True)
                try:
                    trial.model()
                finally:
                    self.steps += trial.steps

        parameters = {p.name for p in self.of(ast.ParamStatement)}
        reader = SweepReader(parameters, self.report, change, try_net)
        return reader, None if self.is_trial else reader.read(section)

    def _blocks(self) -> dict[str, ast.Block]:
        blocks: dict[str, ast.Block] = {}
        for block in self.of(ast.Block):
            if block.name in (*LAYERS, *STRUCTURE, *CLAUSES):
                message = f"`{block.name}` is a layer already"
                hint = f"choose another name, such as my_{block.name}"
                self.report(Diagnostic("duplicate", message, block.name_span, hint=hint))
            elif block.name in blocks:
                message, first = f"the block `{block.name}` is written twice", blocks[block.name].name_span
                self.report(twice(message, block.name_span, first, "written"))
            else:
                blocks[block.name] = block
            seen: set[str] = set()
            for p in block.parameters:
                if p.name in seen:
                    message = f"the parameter `{p.name}` is given twice"
                    self.report(Diagnostic("duplicate", message, p.span))
                seen.add(p.name)
        return blocks

    def _expects(self) -> list[Expect]:
        expects = []
        for e in self.of(ast.ExpectStatement):
            if e.metric not in METRICS:
                fix, known = meant(e.metric, METRICS, e.metric_span), f"known: {', '.join(METRICS)}"
                message, label = f"unknown metric `{e.metric}`", "nothing of this name is measured"
                self.report(guessed("unknown-name", message, e.metric_span, label, fix, known))
                continue
            value = attempt(number, e.value, self.scope, self.report)
            if isinstance(value, Unknown):
                continue
            if e.metric.endswith("accuracy") and not 0 <= value <= 1:
                message = "an accuracy lies between 0 % and 100 %"
                hint = f"write  {value:g}%" if 1 < value <= 100 else ""
                fix = Fix(e.value.span, f"{value:g}%", sure=True) if hint else None
                self.report(Diagnostic("range", message, e.value.span, f"found {value:g}", hint=hint, fix=fix))
                continue
            expects.append(Expect(e.metric, e.relation, value, e.span))
        return expects

    # ---- the net --------------------------------------------------------------------------------
    def _net(
        self, declared: Declarations, input_shape: Shape | None, unread: bool
    ) -> tuple[NameScope, Expander, Cursor]:
        blocks = self._blocks()
        recursive = find_recursion(blocks, self.report)
        expander = Expander(self.report, blocks, declared.defaults(), self.variables, recursive, input_shape, self.said)
        names = NameScope()
        env = Env(Variables(self.variables), Labels(), input_shape, names)
        end = Cursor(-1, input_shape)
        flows = [s for s in self.spec.statements if isinstance(s, (ast.Flow, ast.Broken))]
        try:
            end = expander.statements(flows, end, env)
            self.walked = expander, names, len(expander.missed)
            walk_uncalled(expander)
        except TooMuch:
            return names, expander, LOST
        finally:
            self.steps += expander.steps
        if not expander.placed and not self.errors and not unread:
            source = self.spec.source
            where = self.spec.statements[-1].span if self.spec.statements else Span(source, 0, 0)
            hint = "write layers, one a line or chained by ->, such as  conv 16 3x3 -> relu"
            self.report(Diagnostic("structure", "the net has no layers", where, hint=hint))
        elif end.index == -1 and not self.errors and input_shape is not None:
            message = "the net ends in its own input"
            self.report(Diagnostic("structure", message, flows[-1].span, "no layer stands at the end"))
        return names, expander, end


def _layers(placed: Sequence[Placed], names: Mapping[int, str]) -> tuple[Layer, ...]:
    named = {**names, -1: INPUT}
    return tuple(
        Layer(
            named[i],
            p.op,
            tuple(named[j] for j in p.inputs),
            p.in_shapes,
            p.out_shape,
            p.step.head,
            p.trail,
            p.label,
        )
        for i, p in enumerate(placed)
    )


def _in_order(diagnostics: Sequence[Diagnostic], source: Source) -> list[Diagnostic]:
    """Return diagnostics in the order of the text, those of used files and of ``--set`` behind; too many cut off."""

    def place(d: Diagnostic) -> tuple[bool, str, int]:
        name = "" if d.span.source.name == source.name else d.span.source.name
        return name.startswith("--set"), name, d.span.start

    ordered = sorted(diagnostics, key=place)
    if len(ordered) > MAX_REPORTED:
        last = ordered[MAX_REPORTED - 1]
        more = len(ordered) - MAX_REPORTED
        ordered = [
            *ordered[: MAX_REPORTED - 1],
            replace(last, notes=(*last.notes, f"and {more} more errors")),
        ]
    return ordered
