"""Broken specs: pieces of real ones cut, doubled, moved, mistyped; and random nets whose numbers are compared.

Any text must end in a model or in diagnostics that lie inside it; ``check --fix`` must end, must be done after one
run, and must not add a mistake; a net that is whole must compute the same on either of two roads.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from pathlib import Path

from cnnspec.compiler import Compiler
from cnnspec.draw.picture import picture_of
from cnnspec.draw.svg import to_svg
from cnnspec.errors import CnnSpecError, SpecError
from cnnspec.mend import mend
from cnnspec.model.compare import compare
from cnnspec.model.linting import lint
from cnnspec.options import Options
from cnnspec.source import Source

from .programs import Programs, judge_layout
from .tally import Tally

ROOT = Path(__file__).resolve().parent.parent
WORDS = re.findall(
    r"\S+",
    """
    input classes param block repeat residual project concat add multiply from train data expect defaults cnnspec
    conv depthwise dense maxpool avgpool bn relu relu6 leaky_relu tanh sigmoid softmax dropout flatten identity global
    same none valid stride=2 pad=1 groups=2 bias=no a: a b for if in else use filter here.h in.c 3x3 28x28x1 64 0 -1
    1G 10% 0.5 ( ) [ ] { } | -> , = == >= < + - * / // % " # \\ ; ~ sgd adam lr=0.1 lr epochs 3 batch digits folders
    npz "x.npz" test.accuracy params Conv2D(32,(3,3)) nn.ReLU() kernel_size=3 padding='same' activation=relu limit
    filters=[sobel_x, filters=[box(3),4] freeze=yes gabor(45,4) filters freeze "a*" unfreeze at=2
    [0.1,0.2] train.epochs sweep and or not elif
    reshape linear batchnorm fc source split val=10% normalize mean=0.5 keep best stop patience=3
    #lint:off #lint:off,bias-before-bn if{ else{ project{ repeat{
    """,
)
LAYERS = (
    "conv {c} 3x3", "conv {c} 3x3 stride=2", "conv {c} 1x1", "conv {c} 5x5 pad=none", "conv {c} 3x3 groups=1 bias=no",
    "depthwise 3x3", "bn", "relu", "relu6", "leaky_relu", "tanh", "sigmoid", "maxpool 2", "avgpool 2",
    "maxpool 3x3 stride=2", "dropout 0.2", "residual {{ conv here.c 3x3 -> bn -> relu }}",
    "concat {{ | conv {c} 3x3 | conv {c} 1x1 }}", "for k in [3, 1] {{ conv {c} k -> relu }}",
    "for i in 2 {{ if i > 0 and here.c != {c} {{ conv {c} 1x1 }} else {{ relu }} }}",
    "conv filters=[sobel_x, mine, {c}] freeze=yes",
    "conv filters=[{c}, gaussian, box] bias=no", "conv filters=[roberts_x, 1, roberts_y] pad=1 freeze=yes",
)  # fmt: skip
MOST_MACS = 3_000_000


def examples() -> list[str]:
    """Return the texts that are broken: the example specs, the templates, and the inputs of the golden cases."""
    files = [*ROOT.glob("specs/**/*.cnn"), *ROOT.glob("cnnspec/cli/templates/*.cnn"), *ROOT.glob("tests/cases/*/*.txt")]
    texts = [path.read_text(encoding="utf-8").partition("=== output ===")[0] for path in sorted(files)]
    return [text for text in texts if re.search(r"\binput\s+\d", text)]


def broken(rng: random.Random, texts: Sequence[str]) -> str:
    """Return one of the texts with one to four accidents."""
    text = rng.choice(texts)
    for _ in range(rng.randint(1, 4)):
        start = rng.randint(0, len(text))
        stop = min(len(text), start + rng.choice((0, 1, 1, 2, 5, 30, 200)))
        piece = text[start:stop]
        accident = rng.randrange(8)
        if accident == 0:
            piece = ""
        elif accident == 1:
            piece += piece
        elif accident == 2:
            piece = rng.choice(WORDS)
        elif accident == 3:
            piece += f" {rng.choice(WORDS)} "
        elif accident == 4:  # two letters change places
            piece = piece[1:2] + piece[:1] + piece[2:]
        elif accident == 5:
            piece = piece.swapcase()
        elif accident == 6:
            piece += rng.choice(["\n", "\t", "\r\n", "\x1b[31m", "→", "\x00", "\u202e", "\ufeff", "×", "０", "1" * 400])
        else:  # a line from elsewhere
            piece = "\n" + rng.choice(rng.choice(texts).split("\n")) + "\n"
        text = text[:start] + piece + text[stop:]
    return text


def whole(rng: random.Random) -> str:
    """Return a random small net, which need not be valid."""
    lines = [f"input {rng.randint(5, 17)}x{rng.randint(5, 17)}x{rng.choice((1, 2, 3, 8, 16))}"]
    lines += ["filter mine {", *(" ".join(f"{rng.uniform(-2, 2):.2g}" for _ in range(3)) for _ in range(3)), "}"]
    lines += [rng.choice(LAYERS).format(c=rng.choice((1, 3, 8, 12, 16, 24, 33))) for _ in range(rng.randint(1, 7))]
    if rng.random() < 0.3:
        lines.append("avgpool global")
    lines += ["flatten", f"dense {rng.randint(2, 40)}"]
    frozen = rng.choice(("", "", 'freeze "*.bias"', 'freeze "*.bn*"', 'freeze "conv*"'))
    return (
        "\n".join(lines)
        + f"\ntrain {{\n  {frozen}\n  optimizer {rng.choice(('sgd lr=0.01', 'adam lr=0.001'))}\n  batch 6\n}}\n"
    )


def judge(text: str) -> tuple[str, list[str]]:
    """Return the outcome of a text, and what is wrong with how it was received."""
    found: list[str] = []
    try:
        before = mistakes(text)
    except Exception as error:  # whatever it is: it is a finding
        return "crash", [f"check raises {type(error).__name__}: {error}"[:300]]
    try:
        mended, _, rest = mend(Source("x.cnn", text))
        again, n, _ = mend(mended)
        after = mistakes(mended.text)
    except Exception as error:
        return "crash", [f"check --fix raises {type(error).__name__}: {error}"[:300]]
    if len(after) > len(before):
        found.append(f"--fix adds a mistake: {len(before)} before, {len(after)} after: {after[-1]}")
    if n or again.text != mended.text:
        found.append(f"--fix twice is not once: {n} further edits")
    rest = tuple(d for d in rest if d.severity == "error")
    if len(rest) != len(after):
        found.append(f"--fix says {len(rest)} remain, check finds {len(after)}")
    return ("whole" if not before else "refused"), found


def mistakes(text: str) -> list[str]:
    """Return the messages of a text's errors, none for a whole one; AssertionError where one is out of place."""
    try:
        compiler = Compiler.from_text(text, name="x.cnn")
        found = compiler.findings
        _ = compiler.summary
        drawn = to_svg(picture_of(compiler.model))
        assert compare(compiler.model, compiler.model).is_equal, "a model that differs from itself"
        found = (*found, *lint(compiler.ast, compiler.model).findings)
        assert drawn.startswith("<svg ") and drawn.endswith("</svg>\n"), "a drawing that is no SVG"
    except SpecError as error:
        assert error.diagnostics, "an error without a diagnostic"
        found = error.diagnostics
    for d in found:
        assert 0 <= d.span.start <= d.span.end <= len(d.span.source.text), f"a span outside the text: {d.message}"
        shown = d.render()
        assert len(shown) < 8000, f"a diagnostic of {len(shown)} characters"
        d.as_dict()
    return [d.message for d in found if d.severity == "error"]


def shapes(text: str) -> list[str]:
    """Return what is wrong with the shape comments of a whole net: they are true, and the net is the same."""
    try:
        compiler = Compiler.from_text(text, name="x.cnn")
        shaped = Compiler.from_text(compiler.formatted(shapes=True), name="x.cnn")
        found = [f"fmt --shapes makes a mistake: {d.message}" for d in shaped.findings if d.severity == "error"]
        if not found and shaped.formatted(shapes=True) != shaped.source.text:
            found.append("fmt --shapes twice is not once")
        if not found and [(r.name, r.out_shape) for r in shaped.summary.rows] != [
            (r.name, r.out_shape) for r in compiler.summary.rows
        ]:
            found.append("fmt --shapes makes another net")
    except Exception as error:
        return [f"fmt --shapes raises {type(error).__name__}: {error}"[:300]]
    return found


def numbers(text: str) -> tuple[str, list[str]]:
    """Compare a net's outputs and its weights after two steps: float32 as it runs, float64 by direct algorithms."""
    import numpy as np

    from cnnspec.runtime.network import Network

    try:
        compiler = Compiler.from_text(text)
        model = compiler.model
        if sum(row.macs for row in compiler.summary.rows) > MOST_MACS:
            return "large", []
    except CnnSpecError:
        return "refused", []
    rng = np.random.default_rng(0)
    x = rng.standard_normal((6, *model.input_shape)).astype(np.float32)
    y = rng.integers(0, model.output_shape[-1], 6).astype(np.int32)
    fast = Network(Compiler.of(model, Options(batch=6)))
    plain = Network(Compiler.of(model, Options(batch=6, dtype="f64", exact=True)), threads=1)
    found = []
    before = fast.predict(x)
    pairs = [("outputs", before, plain.predict(x.astype(np.float64)))]
    alone = np.concatenate([fast.predict(x[i : i + 1]) for i in range(6)])
    pairs.append(("outputs one by one", alone, before))
    for step in range(2):
        a = fast.train_step(x, y, lr=0.001)
        b = plain.train_step(x.astype(np.float64), y, lr=0.001)
        pairs.append((f"loss of step {step + 1}", np.array(a.loss), np.array(b.loss)))
    if model.train.optimizer.word == "sgd":  # Adam makes steps of full length out of a gradient that is rounding alone
        slow = plain.parameters()
        pairs += [(name, value, slow[name]) for name, value in fast.parameters().items()]
    for name, one, other in pairs:
        distance = float(np.abs(one - other).max() / max(1e-3, np.abs(other).max()))
        if not distance < 5e-3:
            found.append(f"{name} differs by {distance:.2g}")
    return "compared", found


def hunt(count: int, seed: int) -> tuple[Tally, Tally, Tally]:
    """Break ``count`` specs, format as many programs, and compare the numbers of a fiftieth as many random nets."""
    rng, texts = random.Random(seed), examples()
    tally = Tally("specs", count)
    for _ in range(count):
        text = broken(rng, texts)
        outcome, found = judge(text)
        found += [*judge_layout(text)[1], *shapes(text)] if outcome == "whole" else []
        tally.add(outcome, *(f"{finding}\n    {text!r}" for finding in found))
    layouts = Tally("layouts", count)
    for _ in range(count):
        text = Programs(rng).program()
        outcome, found = judge_layout(text)
        layouts.add(outcome, *(f"{finding}\n    {text!r}" for finding in found))
    nets = Tally("nets", max(1, count // 50))
    for _ in range(nets.total):
        text = whole(rng)
        outcome, found = numbers(text)
        nets.add(outcome, *(f"{finding}\n    {text!r}" for finding in found))
    return tally, layouts, nets
