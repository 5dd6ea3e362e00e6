"""Places for the boxes, frames and edges of a picture, in pixels; no box is crossed by an edge.

Three sweeps: heights, which edges do not change, from the top down; widths from the inside out, each lane right of all
that it passes; then the axes of chains, from the left.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field

from ..ir.fields import dims
from ..text import columns
from .flow import Branches, Chain, Framed, Part, flow_of
from .picture import Box, Frame, Picture, params_of

LETTER = 7.3  # width of a letter of a row; fonts of fixed width have 0.60 of their size of 12 pixels
SMALL = 6.1  # of a letter of a shape or a title, of 10 pixels
ROW = 22.0
GAP = 36.0  # between boxes: a shape and an arrow
TITLE, HEAD, FOOT, SIDE = 20.0, 18.0, 22.0, 14.0  # inside a frame: its title, above and below its boxes, beside them
BRANCH, MERGE, BETWEEN = 26.0, 24.0, 28.0  # above, below and between branches
LANE, PORT = 14.0, 16.0  # between lanes, and between their ends at a join
TURN = 9.0  # below a box, where lanes leave
NARROWEST = 110.0  # width of a box
MARGIN = 24.0

Point = tuple[float, float]


@dataclass
class Place:
    """A rectangle: its left upper corner, width and height."""

    x: float = 0.0
    y: float = 0.0
    w: float = 0.0
    h: float = 0.0


@dataclass
class Layout:
    """A picture in places. ``lines`` are edges as corners from source to target; ``notes`` are shapes: where, which
    side of the point they stand on (``start`` or ``end``), and the text."""

    width: float = 0.0
    height: float = 0.0
    boxes: list[Place] = field(default_factory=list)
    frames: list[tuple[Place, Frame]] = field(default_factory=list)
    lines: list[tuple[tuple[int, int], list[Point]]] = field(default_factory=list)
    notes: list[tuple[Point, str, str]] = field(default_factory=list)


def lay_out(picture: Picture) -> Layout:
    """Return the places of all parts of a picture."""
    return _Layouter(picture).layout()


def row_width(box: Box) -> float:
    """Return the width that the rows of a box need."""
    return max(LETTER * (columns(row.text) + columns(params_of(row)) + 3) for row in box.rows) + 12


class _Layouter:
    def __init__(self, picture: Picture) -> None:
        self.picture = picture
        self.flow = flow_of(picture)
        self.out = Layout(boxes=[Place() for _ in picture.boxes])
        self.edges = set(picture.edges)
        self.ports: dict[int, int] = {}  # how many lanes end in a box
        self.tops: dict[int, float] = {}  # by id of a frame or of branches
        self.sizes: dict[
            int, tuple[float, float]
        ] = {}  # by id of a chain: how far it reaches left and right of its axis
        self.lane_at: dict[tuple[int, int], float] = {}  # right of the axis
        self.heights: dict[int, float] = {}  # by id of a chain, frame or branches

    def layout(self) -> Layout:
        self.count(self.flow)
        end = self.down(self.flow, MARGIN)
        left, right = self.measure(self.flow)
        self.across(self.flow, MARGIN + left, [])
        self.out.width, self.out.height = left + right + 2 * MARGIN, end + MARGIN
        return self.out

    # ---- from the top down ------------------------------------------------------------------------
    def count(self, chain: Chain) -> None:
        """Count the lanes that end in each box: a join is as high as they need."""
        for _, target in chain.lanes:
            self.ports[target] = self.ports.get(target, 0) + 1
        for part in chain.parts:
            if not isinstance(part, int):
                for inner in [part.chain] if isinstance(part, Framed) else part.chains:
                    self.count(inner)

    def down(self, chain: Chain, y: float) -> float:
        """Give all of a chain their heights, from ``y`` on, and return where it ends."""
        for i, part in enumerate(chain.parts):
            y += GAP if i else 0.0
            if isinstance(part, int):
                box = self.out.boxes[part]
                box.y, box.h = y, max(ROW * len(self.picture.boxes[part].rows), PORT * self.ports.get(part, 0) + 8)
                y += box.h
            elif isinstance(part, Framed):
                self.tops[id(part)] = y
                y = self.down(part.chain, y + TITLE + HEAD) + FOOT
                self.heights[id(part)] = y - self.tops[id(part)]
            else:
                self.tops[id(part)] = y
                y = max(self.down(inner, y + BRANCH) for inner in part.chains) + MERGE
                self.heights[id(part)] = y - self.tops[id(part)]
        return y

    # ---- from the inside out ----------------------------------------------------------------------
    def measure(self, chain: Chain) -> tuple[float, float]:
        """Return how far a chain reaches left and right of its axis, its lanes placed."""
        boxes = [part for part in chain.parts if isinstance(part, int)]
        width = max([NARROWEST, *(row_width(self.picture.boxes[box]) for box in boxes)])
        reach = []
        for part in chain.parts:
            if isinstance(part, int):
                self.out.boxes[part].w = width
                reach.append((width / 2, width / 2))
            elif isinstance(part, Framed):
                left, right = self.measure(part.chain)
                total = SMALL * columns(frame_note(part.frame)) + 10
                left = max(left + SIDE, SMALL * columns(part.frame.title) + 18)
                reach.append((left, max(right + SIDE, total + SIDE)))
            else:
                sizes = [self.measure(inner) for inner in part.chains]
                whole = sum(left + right for left, right in sizes) + BETWEEN * (len(sizes) - 1)
                left = sizes[0][0] if self.picture.boxes[part.join].joins == "add" else whole / 2
                reach.append((left, whole - left))
            if not isinstance(part, int):
                self.sizes[id(part)] = reach[-1]
        rights = [right for _, right in reach]
        self.place_lanes(chain, rights)
        self.sizes[id(chain)] = found = max(left for left, _ in reach), max(rights)
        return found

    def place_lanes(self, chain: Chain, rights: list[float]) -> None:
        """Place the lanes of a chain, short ones first, each right of all that it passes."""
        firsts = [_first(part) for part in chain.parts]
        lanes = []
        for source, target in chain.lanes:
            i, j = bisect_right(firsts, source) - 1, bisect_right(firsts, target) - 1
            start = 0 if source < chain.first else i + isinstance(chain.parts[i], int)
            lanes.append((j - start, start, j, source, target))
        for _, start, stop, source, target in sorted(lanes):
            text = SMALL * columns(dims(self.picture.boxes[source].shape)) + 22
            passed = max(rights[start : stop + 1])
            x = max(passed + LANE, self.out.boxes[target].w / 2 + text)
            rights[start : stop + 1] = [x] * (stop + 1 - start)
            self.lane_at[source, target] = x

    # ---- from the left ----------------------------------------------------------------------------
    def across(self, chain: Chain, axis: float, way: list[Point]) -> None:
        """Put all of a chain on its axis, and draw its edges; ``way`` leads from its entry to its axis."""
        boxes, out = self.out.boxes, self.out
        before = -1
        for part in chain.parts:
            if isinstance(part, int):
                boxes[part].x = axis - boxes[part].w / 2
            here = [(axis, _bottom(boxes[before]))] if before >= 0 else way
            if isinstance(part, Branches):
                self.side_by_side(part, axis, here)
                before = -1
                continue
            if isinstance(part, Framed):
                left, right = self.sizes[id(part)]
                place = Place(axis - left, self.tops[id(part)], left + right, self.heights[id(part)])
                out.frames.append((place, part.frame))
                self.across(part.chain, axis, here)
            first = _first(part)
            if (before, first) in self.edges and not isinstance(_leaf(part), Branches):  # which draw their own
                self.line((before, first), [*here, (axis, boxes[first].y)])
            before = part if isinstance(part, int) else part.chain.stop - 1
        for part in chain.parts:
            if isinstance(part, int) and part + 1 < len(boxes):
                self.note((axis - 6, _bottom(boxes[part]) + 16), "end", part)
        self.draw_lanes(chain, axis)

    def side_by_side(self, part: Branches, axis: float, way: list[Point]) -> None:
        """Put branches beside each other, and draw the edges that lead into and out of them."""
        boxes, top = self.out.boxes, self.tops[id(part)]
        bottom = top + self.heights[id(part)]
        x = axis - self.sizes[id(part)][0]
        for inner in part.chains:
            left, right = self.sizes[id(inner)]
            own = x + left
            first, last = inner.first, inner.stop - 1
            into = [*way, (axis, top), (own, top)]
            self.across(inner, own, into)
            if not isinstance(_leaf(inner), Branches):
                self.line((part.entry, first), [*into, (own, boxes[first].y)])
            out = [(own, _bottom(boxes[last])), (own, bottom), (axis, bottom), (axis, bottom + GAP)]
            self.line((last, part.join), out)
            x += left + right + BETWEEN

    def draw_lanes(self, chain: Chain, axis: float) -> None:
        """Draw the lanes of a chain: right below the source, down beside the chain, left into the target."""
        boxes = self.out.boxes
        ports: dict[int, int] = {}
        for source, target in sorted(chain.lanes, key=lambda edge: self.lane_at[edge]):
            x, place = axis + self.lane_at[source, target], boxes[target]
            ports[target] = port = ports.get(target, 0) + 1
            y = place.y + place.h * port / (self.ports[target] + 1)
            if source < chain.first:  # from the line that enters the chain
                leaf = _leaf(chain)
                start = boxes[leaf].y - 12 if isinstance(leaf, int) else self.tops[id(leaf)] - 8
                corners = [(axis, start)]
            else:
                start = _bottom(boxes[source]) + TURN
                corners = [(axis, _bottom(boxes[source])), (axis, start)]
            side = axis + place.w / 2
            self.line((source, target), [*corners, (x, start), (x, y), (side, y)])
            self.note((side + 10, y - 4), "start", source)

    def line(self, edge: tuple[int, int], corners: list[Point]) -> None:
        self.out.lines.append((edge, corners))

    def note(self, at: Point, side: str, box: int) -> None:
        self.out.notes.append((at, side, dims(self.picture.boxes[box].shape)))


def frame_note(frame: Frame) -> str:
    """Return how many parameters a frame holds; "" for none."""
    return f"{frame.params:,}" if frame.params else ""


def _bottom(place: Place) -> float:
    return place.y + place.h


def _first(part: int | Framed | Branches) -> int:
    if isinstance(part, int):
        return part
    return part.chain.first if isinstance(part, Framed) else part.chains[0].first


def _leaf(part: Chain | Part) -> int | Branches:
    """Return what a part or a chain begins with, inside all frames."""
    while not isinstance(part, (int, Branches)):
        part = part.parts[0] if isinstance(part, Chain) else part.chain
    return part
