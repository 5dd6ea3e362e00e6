"""Two models side by side: layers added, removed, changed and moved, and settings that differ."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

from ..ir.fields import dims
from ..ir.graph import Op
from .align import Pairs, align, between
from .forms import format_default, keys_of, written
from .model import INPUT, Layer, Model
from .settings import Unfreeze
from .summary import Row, Summary, summarize

# what a comparison calls the fate of a layer
CHANGES = {
    "added": "a layer of the second net only",
    "removed": "a layer of the first net only",
    "moved": "the same layer at another place",
    "changed": "other arguments, or other layers that it reads",
    "renamed": "the same layer under another label, and so under another name in weight files",
    "follows": "written as before; its shape, parameters, mult-adds or field differ because of others",
}


@dataclass(frozen=True)
class LayerChange:
    """One layer that differs: ``change`` is a word of CHANGES, ``old`` or ``new`` None where it is missing.

    ``rewired`` says that it reads other layers than before.
    """

    change: str
    old: Row | None
    new: Row | None
    rewired: bool = False

    def to_json(self) -> dict[str, object]:
        """Return the change as JSON-ready values."""
        old, new = (row.to_json() if row is not None else None for row in (self.old, self.new))
        return {"change": self.change, "rewired": self.rewired, "old": old, "new": new}


@dataclass(frozen=True)
class SettingChange:
    """A setting that differs: its name as ``--set`` writes it, its values as a spec does; None where there is none."""

    name: str
    old: str | None
    new: str | None


@dataclass(frozen=True)
class Comparison:
    """What differs between two models, in the order of the nets. Lines and comments of the texts do not count."""

    old: Summary
    new: Summary
    layers: tuple[LayerChange, ...]
    settings: tuple[SettingChange, ...]

    @property
    def is_equal(self) -> bool:
        return not self.layers and not self.settings


def compare(old: Model, new: Model) -> Comparison:
    """Return what differs between two models.

    Layers are paired in order: first those of the same label and arguments, then those of the same label, of the same
    arguments, and of the same kind. Numbers that names are given (``conv2``) count for nothing, since a line that is
    added shifts them all.
    """
    before, after = summarize(old), summarize(new)
    layers = _layers(_known(old, before), _known(new, after))
    settings, others = settings_of(old), settings_of(new)
    names = dict.fromkeys([*settings, *others])
    changed = [SettingChange(n, settings.get(n), others.get(n)) for n in names if settings.get(n) != others.get(n)]
    return Comparison(before, after, tuple(layers), tuple(changed))


# ---- layers -------------------------------------------------------------------------------------
@dataclass(frozen=True)
class _Known:
    """A layer as it is recognised: ``path`` is its name without the numbers that it was given."""

    row: Row
    path: str
    op: Op

    @property
    def written(self) -> tuple[object, ...]:
        """Its kind and its arguments; the padding as numbers, and made filters number by number."""
        said = (getattr(self.op, field) for field, a in written(type(self.op)).items() if a.kind != "padding")
        return self.row.kind, self.row.detail, *said

    @property
    def costs(self) -> tuple[object, ...]:
        return self.row.in_shape, self.row.out_shape, self.row.params, self.row.macs, self.row.receptive_field


# by what layers are recognised, from strict to lax
KEYS: tuple[Callable[[_Known], Hashable], ...] = (
    lambda known: (known.path, *known.written),
    lambda known: known.path,
    lambda known: (*known.written, known.row.out_shape),
    lambda known: known.row.kind,
)


def _known(model: Model, summary: Summary) -> list[_Known]:
    return [_Known(row, path_of(layer), layer.op) for layer, row in zip(model.layers, summary.rows, strict=True)]


def path_of(layer: Layer) -> str:
    """Return a layer's name without the numbers that tell layers and blocks of one name apart."""
    given = {layer.op.name, "project", *(frame.name for frame in layer.trail if frame.kind == "block")}
    bases = ((word, re.sub(r"_?\d+$", "", word)) for word in layer.name.split("."))
    return ".".join(base if base in given else word for word, base in bases)


def _layers(a: Sequence[_Known], b: Sequence[_Known]) -> Iterator[LayerChange]:
    pairs = align(a, b, KEYS)
    gaps = list(between(pairs, len(a), len(b)))
    gone, come = (list(chain.from_iterable(range(*gap[side]) for gap in gaps)) for side in (0, 1))
    origin = _moved(a, b, gone, come)
    moved = {*origin.values()}
    rewired = _rewired(a, b, pairs)
    for (before, after), pair in zip(gaps, [*pairs, None], strict=True):
        yield from (LayerChange("removed", a[i].row, None) for i in range(*before) if i not in moved)
        for j in range(*after):
            old = a[origin[j]].row if j in origin else None
            yield LayerChange("added" if old is None else "moved", old, b[j].row)
        if pair is not None:
            known, other = a[pair[0]], b[pair[1]]
            change = _change(known, other, pair in rewired)
            if change:
                yield LayerChange(change, known.row, other.row, pair in rewired)


def _change(known: _Known, other: _Known, rewired: bool) -> str:
    """Return what has become of a layer that stands where it stood; "" for nothing."""
    if rewired or known.written != other.written:
        return "changed"
    if known.path != other.path:
        return "renamed"
    return "follows" if known.costs != other.costs else ""


def _moved(a: Sequence[_Known], b: Sequence[_Known], gone: Sequence[int], come: Sequence[int]) -> dict[int, int]:
    """Return where the layers come from that have no partner in order, but one elsewhere."""
    waiting: dict[Hashable, list[int]] = defaultdict(list)
    for i in reversed(gone):
        waiting[KEYS[0](a[i])].append(i)
    return {j: left.pop() for j in come if (left := waiting[KEYS[0](b[j])])}


def _rewired(a: Sequence[_Known], b: Sequence[_Known], pairs: Pairs) -> set[tuple[int, int]]:
    """Return the pairs that read other layers; one that is added or removed between two that stay does not count."""
    read = _sources(a, {a[i].row.name: i for i, _ in pairs}), _sources(b, {b[j].row.name: i for i, j in pairs})
    return {(i, j) for i, j in pairs if read[0][i] != read[1][j]}


def _sources(layers: Sequence[_Known], places: Mapping[str, int]) -> list[list[int]]:
    """Return, for each layer, the nearest ones before it that have places, along first inputs; -1 for the input."""
    behind = {INPUT: -1}
    found = []
    for known in layers:
        found.append([behind[name] for name in known.row.inputs])
        behind[known.row.name] = places.get(known.row.name, found[-1][0])
    return found


# ---- settings -----------------------------------------------------------------------------------
def settings_of(model: Model) -> dict[str, str]:
    """Return what a spec says beside its layers, name by name as ``--set`` writes them: ``train.optimizer.lr``."""
    found = {"input": dims(model.input_shape)}
    if model.classes is not None:
        found["classes"] = str(model.classes)
    if model.data is not None:
        found.update(_of_statement("data.source", model.data.source))
        found["data.split.val"] = _text(model.data.val)
        if model.data.normalize is not None:
            found.update(_of_statement("data.normalize", model.data.normalize))
    t = model.train
    for name, value in (("loss", t.loss), ("optimizer", t.optimizer), ("schedule", t.schedule)):
        found.update(_of_statement(f"train.{name}", value))
    found["train.schedule.warmup"] = str(t.warmup_epochs)
    found.update({f"train.{name}": str(getattr(t, name)) for name in ("epochs", "batch", "seed")})
    for name, value in (("keep", t.keep), ("stop", t.stop)):
        if value is not None:
            found.update(_of_statement(f"train.{name}", value))
    if t.frozen:
        found["train.freeze"] = ", ".join(
            f"{r.pattern} at={r.epoch}" if isinstance(r, Unfreeze) else r.pattern for r in t.frozen
        )
    for varied, values in model.sweep.values if model.sweep is not None else ():
        found[f"sweep {varied}"] = f"[{', '.join(values)}]"
    for e in model.expects:
        name = f"expect {e.metric} {e.relation}"
        found[name] = ", ".join([*filter(None, [found.get(name)]), f"{e.value:.12g}"])
    return found


def _of_statement(name: str, said: object) -> Iterator[tuple[str, str]]:
    """Yield the word of a statement, where it has one, and each of its keys."""
    word = getattr(said, "word", "")
    if word and word not in keys_of(type(said)):
        yield name, word
    for field, a in written(type(said)).items():
        value = getattr(said, field)
        if value not in (None, ""):
            yield f"{name}.{a.key}", _text(value)


def _text(value: object) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(_text, value))}]"
    return repr(value) if isinstance(value, float) else format_default(value)
