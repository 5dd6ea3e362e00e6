"""The ``data`` and ``train`` sections as a whole: defaults filled in, statements judged by one another."""

from __future__ import annotations

from collections.abc import Container

from ..errors import Diagnostic, Fix
from ..ir.fields import Shape, dims
from ..source import Span
from ..syntax import ast
from ..text import some
from .sections import SectionReader
from .settings import SETTINGS, DataSettings, Normalize, TrainSettings, fitting_source


def data_settings(reader: SectionReader, section: ast.Section | None, input_shape: Shape | None) -> DataSettings | None:
    """Return the ``data`` section as typed settings, or None where there is none (or it is wrong)."""
    found = reader.found
    if "source" not in found:
        changed = next(iter(found.values()), None)  # by --set, or by an argument in Python
        near = fitting_source(input_shape)
        words = ", ".join(word for word in SETTINGS["source"] if word != near.split()[0])
        if section is not None:
            span, message = section.word_span, "the data section needs a source"
            hint = f"write  source {near}  (or {words})"
        elif changed is not None:
            span, message = changed.span, "the spec has no data section to change"
            hint = f"add  data {{ source {near} }}  (or {words})"
            if "split" in found:
                hint += "; for arrays: train(x, y, validation=(x_val, y_val))"
        if reader.lost or (section is None and changed is None):
            return None
        reader.report(Diagnostic("missing-argument", message, span, hint=hint))
        return None
    source = found["source"].value
    wanted = getattr(source, "shape", None)
    if wanted is not None and input_shape is not None and input_shape != wanted:
        message = f"{source.word} holds images of {dims(wanted)}, but the input is {dims(input_shape)}"
        label, hint = f"its images are {dims(wanted)}", f"write  input {dims(wanted)}"
        reader.report(Diagnostic("shape", message, found["source"].span, label, hint=hint))
    black, white = getattr(source, "black", None) or 0.0, getattr(source, "white", None)
    if white is not None and white <= black:
        message = "the number that is white must be above the one that is black"
        label = f"black is {black:g}, white is {white:g}"
        reader.report(Diagnostic("range", message, found["source"].span, label))
    normalize = found["normalize"].value if "normalize" in found else None
    if normalize is not None and input_shape is not None:
        for name, numbers in (("mean", normalize.mean), ("std", normalize.std)):
            if len(numbers) not in (1, input_shape[2]):
                message = f"`{name}` has {len(numbers)} numbers, and the input {input_shape[2]} channels"
                label = f"expected 1 or {input_shape[2]} numbers, found {len(numbers)}"
                reader.report(Diagnostic("shape", message, found["normalize"].span, label))
    if normalize is not None and source.word != "npz":  # whose numbers need not be pixels
        _judge_units(reader, normalize, found["normalize"].span)
    return DataSettings(
        source,
        found["split"].value.val if "split" in found else 0.0,
        normalize,
        section.span if section is not None else found["source"].span,
    )


def _judge_units(reader: SectionReader, normalize: Normalize, span: Span) -> None:
    """Warn of a mean that no picture can have: it was meant for pixels from 0 to 255."""
    if max(normalize.mean) <= 1 and max(normalize.std) <= 1:
        return
    words = []
    for name, numbers in (("mean", normalize.mean), ("std", normalize.std)):
        shown = [f"{n / 255 if max(numbers) > 1 else n:.3g}" for n in numbers]
        words.append(f"{name}={shown[0] if len(shown) == 1 else '[' + ', '.join(shown) + ']'}")
    written = f"normalize {' '.join(words)}"
    reader.report(
        Diagnostic(
            "range",
            "normalize works on pixels divided by 255, and these numbers are beyond 1",
            span,
            "mean and std lie between 0 and 1",
            hint=f"write  {written}",
            fix=Fix(
                span, written, sure=span.source.name[:5] != "--set" and max(*normalize.mean, *normalize.std) <= 255
            ),
            severity="warning",
        )
    )


def train_settings(
    reader: SectionReader, section: ast.Section | None, data: DataSettings | None, changed: Container[str] = ()
) -> TrainSettings:
    """Return the ``train`` section as typed settings, defaults filled in; ``changed`` are those from outside."""
    found = reader.found
    # a statement of one form, such as `epochs 10`, has no word: its value is that of its one field
    said = {name: part.value if part.value.word else getattr(part.value, name) for name, part in found.items()}
    span = section.span if section is not None else None
    rules = tuple(statement.value for statement in reader.repeated)
    settings = TrainSettings(**said, warmup_epochs=reader.warmup, frozen=rules, span=span)
    none_kept = data is not None and data.val == 0 and not getattr(data.source, "own_validation", False)
    for name, watch in (("keep", settings.keep), ("stop", settings.stop)):
        if watch is not None and watch.on.startswith("val.") and none_kept:
            message = f"`{name}` looks at {watch.on}, but nothing is kept for validation"
            hint = "add  split val=10%  to the data section, or look at train.loss"
            reader.report(Diagnostic("structure", message, found[name].span, hint=hint))
    epochs = settings.epochs
    if reader.warmup > epochs:
        message = f"the warmup of {reader.warmup} epochs is longer than the training of {some(epochs, 'epoch')}"
        span = found["schedule"].span
        if "epochs" in changed and "schedule" not in changed:  # a short try of a long training
            notes = (f"this time the rate rises over {some(epochs, 'epoch')}",)
            reader.report(Diagnostic("range", message, span, notes=notes, severity="warning"))
        else:
            hint = f"write  warmup {epochs}  or less, or train longer"
            reader.report(Diagnostic("range", message, span, hint=hint))
    return settings
