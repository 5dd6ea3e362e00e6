"""Laws of drawings, over the example specs, nets with many joins, and random ones."""

from __future__ import annotations

import itertools
import random
from pathlib import Path

import pytest

from cnnspec.compiler import Compiler
from cnnspec.draw.layout import Layout, Place, lay_out, row_width
from cnnspec.draw.picture import Frame, Picture, picture_of
from cnnspec.errors import SpecError

ROOT = Path(__file__).resolve().parent.parent.parent
JOINS = """\
input 16x16x3
block inception(a, b) {
  concat { | conv a 1x1 -> relu
           | conv b 1x1 -> relu -> conv b 3x3 -> relu
           | maxpool 3x3 stride=1 pad=same -> conv b 1x1 -> relu }
}
block se(r=2) { multiply { | identity
                           | avgpool global -> conv (in.c//r) 1x1 -> relu -> conv (in.c) 1x1 -> sigmoid } }
stem: conv 8 3x3 -> bn -> relu
inception 8 4
x: inception 8 4
se
residual { concat { | residual { conv 8 3x3 } project { conv 8 1x1 } | concat { | conv 4 1x1 | conv 4 3x3 } } }
concat { | residual { conv 16 3x3 -> bn } | identity | from x -> conv 3 1x1 }
a: conv 8 3x3
b: conv 8 3x3
c: add { | from a | from b | identity }
   conv 8 1x1
   add { | from c | from a | from b | identity }
   add { | identity | conv 8 3x3 | concat { | conv 4 3x3 | concat { | conv 2 1x1 | conv 2 1x1 } } }
flatten -> dense 10
"""


def random_net(rng: random.Random) -> str:
    """Return a net of nested joins, labels that are read from far, blocks and repeats, on 8x8x4 throughout."""
    labels: list[str] = []

    def flow(depth: int) -> str:
        return " -> ".join(step(depth) for _ in range(rng.randint(1, 3)))

    def step(depth: int) -> str:
        kind = rng.randrange(9 if depth else 4)
        if kind < 3:
            return rng.choice(["conv 4 3x3", "conv 4 1x1 -> bn -> relu", "relu"])
        if kind == 3:
            return f"repeat {rng.randint(1, 3)} {{ {flow(0)} }}" if depth else "bn"
        if kind == 4:
            return f"residual {{ {flow(depth - 1)} }}"
        if kind == 5:
            return f"residual {{ {flow(depth - 1)} -> conv 6 1x1 }} project {{ conv 6 1x1 }} -> conv 4 1x1"
        if kind == 6:
            return f"unit -> repeat {rng.randint(0, 2)} {{ unit }}"
        rows = [flow(depth - 1) for _ in range(rng.randint(1, 3))]
        rows += [f"from {rng.choice(labels)}" for _ in range(rng.randint(0, 2)) if labels]
        rows += [f"from {rng.choice(labels)} -> conv 4 1x1" for _ in range(rng.randint(0, 1)) if labels]
        rows += ["identity"]
        rng.shuffle(rows)
        return f"{rng.choice(['add', 'concat'])} {{ {' '.join(f'| {row}' for row in rows)} }} -> conv 4 1x1"

    lines = [f"input 8x8x4\nblock unit() {{ {flow(2)} }}"]
    for i in range(rng.randint(2, 6)):
        label = f"l{i}"
        lines.append(f"{label}: {flow(2)}")
        labels.append(label)
    return "\n".join([*lines, "flatten", "dense 3"]) + "\n"


def pictures() -> list[tuple[str, Picture]]:
    found = []
    for path in sorted((ROOT / "specs").rglob("*.cnn")):
        for depth in (None, 1, 2):
            found.append((f"{path.stem} {depth}", picture_of(Compiler.from_path(path).model, depth)))
    found.append(("joins", picture_of(Compiler.from_text(JOINS).model)))
    rng = random.Random(5)
    while len(found) < 120:
        text = random_net(rng)
        try:
            model = Compiler.from_text(text).model
        except SpecError:  # such as a layer that no other reads
            continue
        found.append((text, picture_of(model, rng.choice([None, None, 1, 2]))))
    return found


@pytest.fixture(scope="module")
def drawn() -> list[tuple[str, Picture, Layout]]:
    return [(name, picture, lay_out(picture)) for name, picture in pictures()]


Drawn = list[tuple[str, Picture, Layout]]


def test_no_edge_crosses_a_box(drawn: Drawn) -> None:
    for name, _, layout in drawn:
        for edge, corners in layout.lines:
            for (x1, y1), (x2, y2) in itertools.pairwise(corners):
                assert x1 == x2 or y1 == y2, name
                line = Place(min(x1, x2), min(y1, y2), abs(x2 - x1), abs(y2 - y1))
                crossed = [i for i, box in enumerate(layout.boxes) if overlap(line, box)]
                assert not crossed, f"{edge} crosses {crossed} of\n{name}"


def test_every_edge_is_drawn_once_from_its_source_to_its_target(drawn: Drawn) -> None:
    for name, picture, layout in drawn:
        assert sorted(edge for edge, _ in layout.lines) == sorted(picture.edges), name
        starts = {(round(x, 3), round(y, 3)) for _, corners in layout.lines for x, y in corners}
        for (source, target), corners in layout.lines:
            begin, end = layout.boxes[source], layout.boxes[target]
            (x, y), (ex, ey) = corners[0], corners[-1]
            below = x == pytest.approx(begin.x + begin.w / 2) and y == pytest.approx(begin.y + begin.h)
            on_a_line = y > begin.y + begin.h and any(  # a lane may leave the line that leads into its frame
                (source, other) != (source, target) and passes(line, (x, y))
                for (first, other), line in layout.lines
                if first == source
            )
            assert below or on_a_line, f"{source} -> {target} begins in the air in\n{name}\n{starts}"
            from_above = ey == pytest.approx(end.y) and ex == pytest.approx(end.x + end.w / 2)
            from_right = ex == pytest.approx(end.x + end.w) and end.y < ey < end.y + end.h
            assert from_above or from_right, f"{source} -> {target} ends in the air in\n{name}"


def test_boxes_and_frames_lie_apart_or_inside_each_other(drawn: Drawn) -> None:
    for name, picture, layout in drawn:
        for i, box in enumerate(layout.boxes):
            assert not any(overlap(box, other) for other in layout.boxes[i + 1 :]), name
            assert box.x >= 0 and box.x + box.w <= layout.width and box.y + box.h <= layout.height, name
            assert box.w >= row_width(picture.boxes[i]), name
        assert len(layout.frames) == sum(1 for _ in frames(picture.root)), name
        for place, frame in layout.frames:
            for i, box in enumerate(layout.boxes):
                assert overlap(place, box) == (frame.first <= i < frame.stop), name
                assert not overlap(place, box) or inside(box, place), name
            for other, _ in layout.frames:
                assert not overlap(place, other) or inside(place, other) or inside(other, place), name


def test_lanes_do_not_run_on_each_other(drawn: Drawn) -> None:
    """Two lines share a vertical only where both come from the same box, or lead into the same one."""
    for name, _, layout in drawn:
        verticals = [
            (edge, a[0], min(a[1], b[1]), max(a[1], b[1]))
            for edge, corners in layout.lines
            for a, b in itertools.pairwise(corners)
            if a[0] == b[0]
        ]
        for i, (edge, x, top, bottom) in enumerate(verticals):
            for other, x2, top2, bottom2 in verticals[i + 1 :]:
                if abs(x - x2) < 3 and min(bottom, bottom2) - max(top, top2) > 1:
                    assert edge[0] == other[0] or edge[1] == other[1], f"{edge} on {other} in\n{name}"


def frames(frame: Frame) -> list[Frame]:
    found = []
    for part in frame.parts:
        if isinstance(part, Frame):
            found += [part, *frames(part)]
    return found


def overlap(a: Place, b: Place) -> bool:
    """Whether two rectangles share more than a border."""
    return (
        min(a.x + a.w, b.x + b.w) - max(a.x, b.x) > (0.01 if a.w > 0.01 else -0.01)
        and min(a.y + a.h, b.y + b.h) - max(a.y, b.y) > (0.01 if a.h > 0.01 else -0.01)
        and (a.w > 0.01 or b.x + 0.01 < a.x < b.x + b.w - 0.01)
        and (a.h > 0.01 or b.y + 0.01 < a.y < b.y + b.h - 0.01)
    )


def inside(a: Place, b: Place) -> bool:
    return b.x <= a.x and b.y <= a.y and a.x + a.w <= b.x + b.w and a.y + a.h <= b.y + b.h


def passes(corners: list[tuple[float, float]], point: tuple[float, float]) -> bool:
    """Whether a line leads through a point."""
    x, y = point
    return any(
        min(a[0], b[0]) - 0.01 <= x <= max(a[0], b[0]) + 0.01 and min(a[1], b[1]) - 0.01 <= y <= max(a[1], b[1]) + 0.01
        for a, b in itertools.pairwise(corners)
    )
