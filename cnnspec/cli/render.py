"""The output that a person sees: diagnostics, tables, live lines. The only module that prints, and that imports rich.

Colour is a layer on top of plain text: with NO_COLOR, in a pipe or in a file, the same words come without it. What is
printed passes through :func:`cnnspec.text.visible`, so that no file, class or spec can talk to the terminal.
"""

from __future__ import annotations

import codecs
import contextlib
import io
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from typing import TYPE_CHECKING

import click

from ..errors import CnnSpecError, Diagnostic
from ..text import columns, fold, some, visible

if TYPE_CHECKING:
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text


@cache
def console(*, stderr: bool = False) -> Console:
    """Return the console of stdout or stderr; it never wraps nor reformats what we laid out."""
    from rich.console import Console

    return Console(stderr=stderr, highlight=False, markup=False, emoji=False, soft_wrap=True, force_jupyter=False)


def width() -> int:
    """Return the columns to lay tables out for: the terminal's, and 80 in a pipe or file."""
    return terminal_width() or 80


def terminal_width(*, stderr: bool = False) -> int | None:
    """Return the columns of the terminal, at least 40; None where lines go to a pipe or file, and are not folded."""
    stream = sys.stderr if stderr else sys.stdout
    return max(40, shutil.get_terminal_size((80, 24)).columns) if stream.isatty() else None


# The colours of styles by name, of the palette of 256, whose lights are fixed: each has a contrast of 3.5 and more to
# black and to white. In the palette of 16, terminals choose them, and yellow on white is often not to be seen.
COLOURS = {"red": 160, "green": 28, "yellow": 130, "blue": 33, "magenta": 163, "cyan": 30, "dim": 244}


def parts_of(style: str) -> tuple[int | None, bool]:
    """Return colour and boldness of a style such as ``bold red``; no colour where the terminal may not be sent it."""
    words = style.split()
    may_be_sent = "256" in os.environ.get("TERM", "") or os.environ.get("COLORTERM") or os.environ.get("WT_SESSION")
    colour = next((COLOURS[word] for word in words if word in COLOURS), None)
    return (colour if may_be_sent else None), "bold" in words


def text(line: str, *styles: tuple[str, str]) -> Text:
    """Return a line with styles on what patterns match: ``text("a 1", (r"\\d", "bold"))``."""
    from rich.text import Text

    drawn = Text(visible(line))
    for pattern, style in styles:
        colour, bold = parts_of(style)
        drawn.highlight_regex(pattern, f"{'bold' if bold else ''} {f'color({colour})' if colour else ''}".strip())
    return drawn


def styled(line: str, style: str) -> str:
    """Return a line with the terminal's codes of a style; ``click.echo`` takes them out where none is."""
    if not style or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return line
    colour, bold = parts_of(style)
    return click.style(line, fg=colour, bold=bold or None)


def say(line: str = "", style: str = "", *, mark: str = "", hang: int | None = None) -> None:
    """Print one line to stdout, in a style such as ``bold`` or ``yellow``, or only the ``mark`` before it.

    With ``hang``, what a terminal has no room for goes on in lines below, so much further in.

    Lines and tables go without rich, whose import would be a sixth of the time of ``summary``; only while a
    :class:`LiveLine` stands do they pass through its console, which draws it anew below them.
    """
    if hang is not None:
        first, *more = fold(mark + line, terminal_width(), hang)
        say(first.removeprefix(mark), style, mark=mark)
        for further in more:
            say(further, "" if mark else style)
        return
    line, mark = visible(line), visible(mark)
    if LiveLine.standing is not None:
        LiveLine.standing.refresh()
        console().print(text(mark + line, (f"^{re.escape(mark)}" if mark else ".*", style)))
    else:
        click.echo(styled(mark, style) + line if mark else styled(line, style))


def show(words: str, *, end: str = "\n") -> None:
    """Print a text of several lines to stdout as it is: JSON, a stage of the compiler, a page of the manual."""
    click.echo(visible(words, lines=True) + end, nl=False)


def pass_on(content: bytes) -> None:
    """Write the bytes of a text to stdout as they are; in a terminal, as :func:`show` does."""
    if sys.stdout.isatty():
        show(content.decode("utf-8-sig", "replace"), end="")
    else:
        click.echo(content, nl=False)


SIMPLER = str.maketrans("━─┄·×", "=-..x")  # where a terminal lacks the sign


def replace_missing_signs() -> None:
    """Let stdout and stderr write a simpler sign for one that their encoding lacks, else ``?``."""
    codecs.register_error("cnnspec-simpler", _simpler)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="cnnspec-simpler")


def _simpler(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    missing = error.object[error.start : error.end].translate(SIMPLER)
    return "".join(sign if sign.isascii() else "?" for sign in missing), error.end


def leave_stdout() -> None:
    """Send to nowhere what is printed from now on, also by Python at its exit: the reader of the pipe has gone."""
    with contextlib.suppress(OSError, ValueError):  # a stream without a file behind it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def aside() -> Console:
    """Return the console of stderr; that of stdout while a :class:`LiveLine` stands there, in the same terminal."""
    return console() if LiveLine.standing is not None and sys.stderr.isatty() else console(stderr=True)


def say_aside(words: str) -> None:
    """Print lines to stderr as they are: how far something is, where results go to stdout."""
    click.echo(visible(words, lines=True), err=True)


def note(line: str) -> None:
    """Print a remark to stderr, where it does not mix with results."""
    for part in fold(f"note: {visible(line)}", terminal_width(stderr=True), 6):
        aside().print(text(part, ("^note:", "bold yellow")))


# ---- tables -------------------------------------------------------------------------------------
def print_table(lines: Sequence[str], *, dim: str = "", wrong: str = "", closed: bool = False) -> None:
    """Print the lines of :func:`cnnspec.text.table`: a bold head, a rule, the rows; where ``closed``, a rule again.

    What matches ``dim`` is grey, what matches ``wrong`` red.
    """
    rule = "─" * max(map(columns, lines))
    say(lines[0], "bold")
    say(rule, "dim")
    for line in map(visible, lines[1:]):
        for pattern, style in ((dim, "dim"), (wrong, "bold red")):
            if pattern:
                line = re.sub(pattern, lambda match, style=style: styled(match.group(), style), line)  # type: ignore[misc]
        click.echo(line)
    if closed:
        say(rule, "dim")


# ---- errors -------------------------------------------------------------------------------------
def print_error(error: CnnSpecError) -> None:
    """Print an error to stderr, coloured where that is a terminal."""
    placed = getattr(error, "diagnostic", None)
    findings = [placed] if placed is not None else getattr(error, "diagnostics", None)
    if findings:
        print_diagnostics(findings)
        return
    lines: list[str] = []
    for line in f"error: {error}".split("\n"):
        hang = 12 if line.startswith(("  expected:", "  found:")) else 7
        lines += fold(line, terminal_width(stderr=True), hang)
    for drawn in coloured(lines):
        aside().print(drawn)


def print_diagnostics(diagnostics: Sequence[Diagnostic]) -> None:
    """Print findings to stderr, a blank line between them, and how many there are when more than one."""
    out = aside()
    for i, d in enumerate(diagnostics):
        if i:
            out.print()
        for line in coloured(d.render(terminal_width(stderr=True)).split("\n"), visible(str(d.span))):
            out.print(line)
    errors = sum(d.severity == "error" for d in diagnostics)
    if len(diagnostics) > 1 and errors:
        out.print()
        out.print(text(some(errors, "error"), (".*", "bold")))


def coloured(lines: Iterable[str], place: str = "") -> Iterator[Text]:
    """Yield the lines of an error with their colours: its kind, its ``place``, carets, the way there and the mend."""
    colour, style = "red", ""  # of the kind and the carets; of a part that goes on in the next line
    for line in lines:
        if line.startswith("warning["):
            colour = "yellow"
        elif line.startswith(("  in ", "  fix:")):
            style = "green" if line.startswith("  fix:") else "dim"
        yield text(
            line,
            (".*", style),
            (r"^(error|warning)(\[[^]]*\])?:", f"bold {colour}"),
            (rf"{re.escape(place)}$", "cyan"),
            (r"^\s*\d*\s*\|", "dim"),
            (r"\^+.*$" if line.lstrip().startswith("|") else "$^", f"bold {colour}"),
            ("^  fix:", "bold green"),
        )


# ---- live lines ---------------------------------------------------------------------------------
def is_plain(*, stderr: bool = False) -> bool:
    """Return whether live displays are out of place: no terminal, a dumb one, a notebook, continuous integration."""
    stream = sys.stderr if stderr else sys.stdout
    return not stream.isatty() or os.environ.get("TERM", "") in ("dumb", "") or "CI" in os.environ or in_notebook()


def in_notebook() -> bool:
    """Return whether the output lands in a cell of a notebook, also that of ``!cnnspec``, which is given a terminal.

    A cell keeps what a terminal would erase. Its kernel sets one of these for itself and for what it starts.
    """
    return "JPY_PARENT_PID" in os.environ or "inline" in os.environ.get("MPLBACKEND", "")


class LiveLine:
    """The last line of the terminal, redrawn eight times a second from ``line(columns)`` and gone in the end.

    What is printed meanwhile through :func:`say` stands above one on stdout.
    """

    standing: Live | None = None  # the one on stdout

    def __init__(self, line: Callable[[int], str], *, stderr: bool = False) -> None:
        from rich.live import Live

        out = console(stderr=True) if stderr else console()  # the very ones that say and note use

        def draw() -> Text:
            drawn = text(line(out.width), ("━+", "cyan"), ("┄+", "dim"), (r"^epoch \S+", "bold"))
            drawn.truncate(out.width, overflow="ellipsis")
            drawn.no_wrap = True
            return drawn

        self._live = Live(
            console=out,
            get_renderable=draw,
            refresh_per_second=8,
            transient=True,
            redirect_stdout=not stderr,
            redirect_stderr=sys.stderr.isatty(),  # warnings of Python stand above the line, not in it
        )
        self._live.start()
        out.show_cursor(True)  # a process that is killed cannot show it again
        if not stderr:
            LiveLine.standing = self._live

    def stop(self) -> None:
        if LiveLine.standing is self._live:
            LiveLine.standing = None
        self._live.stop()
