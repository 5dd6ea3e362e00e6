"""Random programs of the grammar, in random layout: each can be read, few mean a net.

Every class of the tree comes up, and comments and line breaks stand wherever the language lets them stand.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from cnnspec.source import Source
from cnnspec.syntax.comments import comments_of
from cnnspec.syntax.format import format_spec
from cnnspec.syntax.parser import parse

WORDS = ("conv", "dense", "bn", "relu", "maxpool", "stage", "a", "stage10", "in.c", "long_name_of_a_block")
KEYS = ("stride", "pad", "bias", "mean", "lr")
NUMBERS = ("1", "64", "0.5", "5e-4", "2.", "1.82G", "3k", "10%", "89.5%", "128")
SIZES = ("3x3", "28x28x1", "1x7")
TEXTS = ('"data/flowers"', '"# no comment -> { ["', '""')
COMMENTS = ("# why", "#", "#x", '# a -> b { [ " |', "## two", "#: 8x8x1", "# " + "long " * 30)
OPERATORS = ("+", "-", "*", "/", "//")
DEEPEST = 3


class Programs:
    """Draws programs; ``wild`` is how often something is laid out in an unusual way, 0 to 1."""

    def __init__(self, rng: random.Random, wild: float | None = None) -> None:
        self.rng = rng
        self.wild = rng.choice((0.0, 0.1, 0.5)) if wild is None else wild
        self.depth = 0

    def program(self) -> str:
        """Return a program of up to a dozen statements."""
        text = self.lines([self.statement for _ in range(self.rng.randint(0, 6))], 0)
        return self.some("\n", "# first\n", "\n\n# first\n\n") + text + self.rng.choice(("", "\n", "\n\n", "\n# last"))

    # ---- layout ---------------------------------------------------------------------------------
    def chance(self, share: float) -> bool:
        return self.rng.random() < share

    def some(self, *texts: str) -> str:
        """Return one of the texts where the layout is unusual, else nothing."""
        return self.rng.choice(texts) if self.chance(self.wild) else ""

    @property
    def gap(self) -> str:
        """What stands between two arguments."""
        return self.some("  ", "\t", "    ") or " "

    @property
    def touch(self) -> str:
        """What may stand between two tokens that may touch."""
        return self.some(" ", "  ")

    @property
    def free(self) -> str:
        """What may stand between tokens where line ends mean nothing."""
        return self.some(" ", "\n", "\n  \n", f"  {self.comment}\n", f"\n {self.comment}\n  ", " \r\n")

    @property
    def comment(self) -> str:
        return self.rng.choice(COMMENTS)

    @property
    def end(self) -> str:
        """The end of a statement."""
        beside = f"{self.rng.choice((' ', '  ', ' ' * 12))}{self.comment}" if self.chance(0.2) else ""
        further = "".join(
            self.rng.choice(("\n", "\n", f"{' ' * self.rng.choice((0, 2, 34))}{self.comment}\n"))
            for _ in range(self.rng.choice((0, 0, 0, 1, 2)))
        )
        return f"{beside}{self.some('  ')}\n{further}"

    def lines(self, makers: list[Callable[[], str]], indent: int) -> str:
        """Return statements, one a line."""
        text = ""
        for maker in makers:
            text += " " * (indent + self.rng.choice((0, 0, 0, 3) if self.chance(self.wild) else (0,)))
            text += maker() + self.end
        return text

    # ---- statements -----------------------------------------------------------------------------
    def statement(self) -> str:
        """Return a statement of any kind; flows come most."""
        kinds = (
            self.opening,
            self.declaration,
            self.param,
            self.setting,
            self.block,
            self.filter,
            self.expect,
            self.use,
            self.section,
        )
        return self.rng.choice(kinds)() if self.chance(0.3) else self.flow()

    def opening(self) -> str:
        flow = self.arrow + self.chain() if self.chance(0.5) else ""
        return f"input{self.gap}{self.rng.choice(SIZES)}{flow}"

    def declaration(self) -> str:
        word = self.rng.choice(("cnnspec", "classes", "defaults"))
        return word + self.arguments()

    def use(self) -> str:
        return f'use{self.gap}"{self.some("lib/")}blocks.cnn"'

    def param(self) -> str:
        return f"param{self.gap}{self.rng.choice('abc')}{self.touch}={self.touch}{self.value()}"

    def setting(self) -> str:
        return f"width{self.touch}={self.touch}{self.value()}"

    def block(self) -> str:
        parameters = f",{self.free or ' '}".join(
            f"{name}{self.touch}={self.touch}{self.value()}" if self.chance(0.4) else name
            for name in self.rng.sample(("c", "stride", "n"), self.rng.randint(0, 3))
        )
        said = f"({self.free}{parameters}{self.free})" if parameters or self.chance(0.5) else ""
        return f"block basic{said}{self.gap}{self.body()}"

    def filter(self) -> str:
        """Return rows of numbers, with bars before some of them or without."""

        def row() -> str:
            cells = [f"{self.some('- ', '-')}{self.rng.choice(NUMBERS)}" for _ in range(self.rng.randint(1, 4))]
            return self.gap.join(cell + (self.touch + "/3" if self.chance(0.1) else "") for cell in cells)

        many, bar = self.rng.randint(0, 4), self.rng.choice(("", "| "))
        if self.chance(0.3):
            return f"filter edges{self.gap}{{ {bar}{row()} }}"
        rows = [f"{bar if not i or self.chance(0.5) else ''}{row()}{self.end}" for i in range(many)]
        return f"filter edges{self.gap}{{{self.end}{'  '.join(['', *rows])}}}"

    def expect(self) -> str:
        said = (self.rng.choice(("params", "test.accuracy")), self.rng.choice(("==", "<=", "<", "!=")), self.value())
        return self.gap.join(("expect", *said))

    def section(self) -> str:
        return self.rng.choice(("data", "train", "sweep")) + self.gap + self.body()

    # ---- flows ----------------------------------------------------------------------------------
    def flow(self) -> str:
        label = f"{self.rng.choice(('stem', 'a', 'stage10', 'label_' * 5))}{self.touch}:" if self.chance(0.3) else ""
        if label:
            label += self.some("\n", f" {self.comment}\n", f"\n{self.comment}\n\n") or self.gap
        return label + self.chain()

    def chain(self) -> str:
        length = self.rng.choice((1, 1, 1, 2, 3, 5, 12))
        return self.arrow.join(self.step() for _ in range(length)) if length > 1 else self.step()

    @property
    def arrow(self) -> str:
        around = ("\n", f"  {self.comment}\n", f"\n{self.comment}\n\n", "", " ")
        before = self.rng.choice(around) if self.chance(self.wild) else " "
        after = self.rng.choice(around) if self.chance(self.wild) else " "
        return f"{before}->{after}"

    def step(self) -> str:
        if self.depth < DEEPEST and self.chance(0.1):
            return self.loop() if self.chance(0.5) else self.choice()
        step = self.rng.choice(WORDS) + (self.arguments() if self.chance(0.7) else "")
        if self.depth < DEEPEST and self.chance(0.2):
            step += self.gap + self.body()
            if self.chance(0.3):
                step += f"{self.gap}project{self.gap}{self.body()}"
        return step

    def loop(self) -> str:
        if self.chance(0.3):
            return f"for{self.gap}i{self.gap}in{self.gap}{self.value()}{self.gap}{self.body()}"
        self.depth += 1
        rows = [f"({self.free}{self.value()}{self.touch},{self.free}{self.value()}{self.free})" for _ in range(3)]
        table = f",{self.free or ' '}".join(rows)
        self.depth -= 1
        return (
            f"for{self.gap}a,{self.touch}b{self.gap}in{self.gap}[{self.free}{table}{self.free}]{self.gap}{self.body()}"
        )

    def choice(self) -> str:
        text = f"if{self.gap}{self.condition()}{self.gap}{self.body()}"
        if self.chance(0.3):
            text += f"{self.gap}else{self.gap}if{self.gap}{self.condition()}{self.gap}{self.body()}"
        return text + (f"{self.gap}else{self.gap}{self.body()}" if self.chance(0.5) else "")

    def condition(self) -> str:
        """Return a comparison, several, or a value."""
        many = self.rng.choice((1, 1, 2, 3))
        word = self.gap + self.rng.choice(("and", "or")) + self.gap
        return word.join(self.rng.choice(("", "", "not ")) + self.comparison() for _ in range(many))

    def comparison(self) -> str:
        if self.chance(0.3):
            return self.value()
        return f"{self.value()}{self.gap}{self.rng.choice(('==', '!=', '<', '>='))}{self.gap}{self.value()}"

    def body(self) -> str:
        """Return statements or rows in braces, on one line or on several."""
        self.depth += 1
        makers = [self.flow if self.chance(0.9) else self.statement for _ in range(self.rng.randint(0, 3))]
        bars = self.chance(0.3)
        if self.chance(0.4):
            inside = (f"| {self.flow()} " * self.rng.randint(1, 3)) if bars else (self.flow() if makers else "")
            text = f"{{{self.touch}{inside}{self.touch}}}"
        elif bars:
            rows = "".join(
                f"  |{self.some(chr(10), f' {self.comment}{chr(10)}') or ' '}{self.lines(makers, 4).lstrip()}"
                for _ in range(self.rng.randint(1, 3))
            )
            text = f"{{{self.end}{rows.rstrip(' ')}{'' if makers else chr(10)}}}"
        else:
            text = f"{{{self.end}{self.lines(makers, 2)}}}"
        self.depth -= 1
        return text

    # ---- arguments and expressions ----------------------------------------------------------------
    def arguments(self) -> str:
        many = (0, 1, 1, 1, 2, 2, 6)
        return "".join(self.gap + self.argument() for _ in range(self.rng.choice(many)))

    def argument(self) -> str:
        if self.chance(0.3):
            return f"{self.rng.choice(KEYS)}{self.touch}={self.touch}{self.value()}"
        return self.arithmetic(self.bare_atom) if self.chance(0.2) else self.bare_atom()

    def arithmetic(self, atom: Callable[[], str]) -> str:
        """Return a chain of sums and products; a minus has a space on both sides or on neither."""
        text = atom()
        for _ in range(self.rng.randint(1, 2)):
            operand = atom()
            space = " " if operand[0].isdigit() else self.rng.choice(("", " "))  # -3x3 is one token
            text += f"{space}{self.rng.choice(OPERATORS)}{space}{operand}"
        return text

    def bare_atom(self) -> str:
        kind = self.rng.randrange(10)
        if kind < 6 or self.depth > DEEPEST:
            return self.rng.choice((*NUMBERS, *SIZES, *WORDS[:5], "classes", "c"))
        if kind == 6:
            return self.rng.choice(TEXTS)
        self.depth += 1
        inside = self.items(0) + self.some(",")
        if kind < 9:
            inside = self.condition() if self.chance(0.2) else self.value()
        self.depth -= 1
        return f"({self.free}{inside}{self.free})" if kind < 9 else f"[{self.free}{inside}{self.free}]"

    def value(self) -> str:
        """Return any value: one that may be negative, or a call."""
        if self.depth > DEEPEST or self.chance(0.6):
            return self.atom()
        self.depth += 1
        text = self.arithmetic(self.atom) if self.chance(0.5) else f"-{self.touch}{self.atom()}"
        self.depth -= 1
        return text

    def atom(self) -> str:
        if self.depth > DEEPEST or self.chance(0.7):
            return self.bare_atom()
        self.depth += 1
        text = f"round8({self.free}{self.items(0)}{self.free})"
        self.depth -= 1
        return text

    def items(self, least: int) -> str:
        many = self.rng.choice((least, 1, 1, 2, 2, 3, 20 if self.chance(0.05) else 1))
        return f"{self.free},{self.free or ' '}".join(self.value() for _ in range(max(1, many)))


def judge_layout(text: str) -> tuple[str, list[str]]:
    """Return whether a text can be read, and what is wrong with its canonical form."""
    spec, errors = parse(Source("x.cnn", text))
    if errors:
        return "refused", []
    found: list[str] = []
    try:
        formatted = format_spec(spec)
        again, errors = parse(Source("x.cnn", formatted))
        twice = "" if errors else format_spec(again)
    except Exception as error:
        return "crash", [f"fmt raises {type(error).__name__}: {error}"[:300]]
    if errors:
        return "crash", [f"fmt writes what cannot be read: {errors[0].message}"]
    if again.statements != spec.statements:
        found.append("fmt changes the meaning")
    if comments(formatted) != comments(text):
        found.append("fmt loses or changes comments")
    if twice != formatted:
        found.append("fmt twice is not once")
    if any(line != line.rstrip() for line in formatted.split("\n")) or "\n\n\n" in formatted:
        found.append("fmt leaves spaces at ends of lines, or blank lines")
    return "formatted", found


def comments(text: str) -> list[str]:
    """Return the comments of a text, without the space after ``#`` that the canonical form may add."""
    return [comment.text[1:].strip() for comment in comments_of(Source("x.cnn", text))]
