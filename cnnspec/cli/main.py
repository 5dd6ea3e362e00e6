"""The command line: a group whose commands are imported when they are used, and its exit codes.

0 all is well, 1 the spec or the data is wrong, 2 the command is wrong, 3 the mistake is ours,
130 interrupted by Ctrl-C (143 by SIGTERM, 129 by SIGHUP, which save as Ctrl-C does).
"""

from __future__ import annotations

import errno
import mmap
import os
import signal
import sys
from collections.abc import Sequence
from importlib import import_module

import click

from .. import __version__
from ..errors import CnnSpecError, InternalError, MachineError, did_you_mean
from ..reading import address_limit
from . import render
from .usage import usage_of

# section -> command -> what it does, in the order of ``cnnspec --help``. Each is the function ``command`` of
# the module of its name; the sentences stand here so that the list is shown without importing any of them.
COMMANDS: dict[str, dict[str, str]] = {
    "Write a spec": {
        "new": "Start a spec from a template.",
        "check": "Find every mistake, say how to mend it; --fix does.",
        "fmt": "Set a spec in its one form; comments stay.",
        "lint": "Tell what is valid and hardly wise, and why.",
        "layers": "List the layers, or read the manual of one.",
        "help": "Explain a word, a setting, an error or a command.",
    },
    "Look at it": {
        "summary": "Shapes, parameters, multiply-adds, layer by layer.",
        "diff": "Show how two specs or runs differ.",
        "draw": "Draw the net: SVG, DOT or Mermaid.",
        "dump": "Print a stage of the compiler, from tree to plan.",
    },
    "Train and run": {
        "train": "Train, into a run folder; --resume goes on.",
        "eval": "Measure a trained net and judge its `expect` lines.",
        "predict": "Classify image files or a folder of them.",
        "bench": "Time each layer, forward and backward.",
    },
    "System": {
        "doctor": "Check the machine and the installation.",
        "cache": "Show, fill or clear the store of compiled kernels.",
    },
}

EPILOG = """Completion of commands, options and files in bash (zsh and fish alike):

\b
  eval "$(_CNNSPEC_COMPLETE=bash_source cnnspec)"
"""


class LazyGroup(click.Group):
    """A group that knows its commands' names and imports a command's module when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [name for section in COMMANDS.values() for name in section]

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in self.list_commands(ctx):
            return None
        command: click.Command = import_module(f".{name}", __package__).command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in self.list_commands(ctx) and not name.startswith("-"):
            near = did_you_mean(name, self.list_commands(ctx))
            if name.endswith(".cnn") or os.path.isdir(name):
                ctx.fail(f"say what to do with it, for example: cnnspec summary {name}")
            ctx.fail(f"no command {name!r}" + (f": did you mean {near!r}?" if near else ""))
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        width = max(map(len, self.list_commands(ctx)))
        for title, section in COMMANDS.items():
            with formatter.section(title):
                formatter.write_dl([(name.ljust(width), text) for name, text in section.items()])


@click.group(
    cls=LazyGroup,
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80},
)
@click.version_option(__version__, "--version", "-V", message="cnnspec %(version)s")
@click.option("--debug", is_flag=True, expose_value=False, is_eager=True,
              callback=lambda _, __, on: on and os.environ.update(CNNSPEC_DEBUG="1"),
              help="Show a traceback with every error (also: CNNSPEC_DEBUG=1).")  # fmt: skip
def cli() -> None:
    """Design a convolutional net as text, look at it, train it on this machine's CPU.

    A command takes the .cnn file, or the folder of a run, as its first argument.

    \b
      cnnspec new digits              write a first spec, digits.cnn
      cnnspec summary digits.cnn      see its shapes and parameters
      cnnspec train digits.cnn        learn its weights, in a run folder
      cnnspec predict RUN a.png       classify a picture
    """


def run(args: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code; every error becomes a message on stderr."""
    render.replace_missing_signs()
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # of numpy's BLAS, which is loaded but never called here
    spare = _spare()
    try:
        code = cli.main(args=None if args is None else list(args), prog_name="cnnspec", standalone_mode=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except click.exceptions.Exit as stop:
        return int(stop.exit_code)
    except SystemExit as stop:
        if isinstance(stop.__context__, BrokenPipeError):  # click ends so where the reader of a pipe has gone
            return 141
        return stop.code if isinstance(stop.code, int) else 1
    except click.ClickException as error:
        render.say_aside(usage_of(error))
        return int(error.exit_code)
    except (KeyboardInterrupt, click.Abort) as stop:
        render.say_aside("\ninterrupted")
        return 128 + int(getattr(stop, "number", signal.SIGINT))
    except BrokenPipeError:
        render.leave_stdout()  # as in `cnnspec summary net.cnn | head`
        return 141
    except Exception as error:
        if os.environ.get("CNNSPEC_DEBUG"):
            import traceback

            render.say_aside(traceback.format_exc().rstrip())
        return _tell(error, spare)


def _tell(error: Exception, spare: mmap.mmap | None) -> int:
    """Print an error in words and return the exit code; ``spare`` is room to do so where memory has run out."""
    found, crowded = None, True
    try:
        crowded = is_out_of_memory(error) or not has_room()
        if spare is not None:
            spare.close()
        found = _explained(error, crowded)
        if found is None:
            return _our_mistake(error)
        render.print_error(found)
    except Exception:  # too little memory even for that, which an import says in several ways
        if found is None and not crowded:
            raise
        os.write(2, f"error: {found or 'there is not enough memory'}\n".encode(errors="replace"))
    return found.exit_code if found is not None else 1


def _explained(error: Exception, crowded: bool) -> CnnSpecError | None:
    """Return an error in words that the user can act on; None where the mistake is ours."""
    if isinstance(error, CnnSpecError):
        return None if isinstance(error, InternalError) else error
    if crowded:
        return _out_of_memory(error)
    if not isinstance(error, OSError) or error.errno not in MACHINE:
        return None
    from ..kernels.cache import cache_root

    full = error.errno in (errno.ENOSPC, errno.EDQUOT)  # such as a disk that fills under the kernels
    return MachineError(
        "the disk is full" if full else (error.strerror or str(error)),
        path=error.filename or (cache_root() if full else None),
        hint="free some space; CNNSPEC_CACHE=DIR names another folder for compiled kernels" if full else "",
    )


# errors of the system that no code of ours is to blame for: a full disk, a place that may not be written, a name
# that no system takes
MACHINE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.ENAMETOOLONG)


# how libraries, and the loader of the system, say that there is not enough memory, or that no more threads start
FOR_WANT_OF_MEMORY = (
    (MemoryError, ""),
    (RuntimeError, "can't start new thread"),
    ((ImportError, OSError), "Cannot allocate memory"),
    ((ImportError, OSError), "cannot allocate memory"),
    ((ImportError, OSError), "failed to map segment"),
)


def is_out_of_memory(error: BaseException | None) -> bool:
    """Whether an error, or one that led to it, is for want of memory or of threads."""
    while error is not None:
        if getattr(error, "errno", None) == errno.ENOMEM:
            return True
        if any(isinstance(error, kind) and words in str(error) for kind, words in FOR_WANT_OF_MEMORY):
            return True
        error = error.__cause__ or error.__context__
    return False


def _spare() -> mmap.mmap | None:
    """Return room that is kept to tell of an error in, untouched; None where there is none."""
    try:
        return mmap.mmap(-1, 16 << 20)
    except (OSError, ValueError, MemoryError):
        return None


def has_room() -> bool:
    """Whether the system gives this process anything at all: without, errors are of any kind."""
    room = _spare()
    if room is not None:
        room.close()
    return room is not None


def _out_of_memory(error: Exception) -> MachineError:
    """Return the error for a process that may not have the memory, or the threads, that it needs."""
    limit = address_limit()
    threads = "new thread" in str(error)
    return MachineError(
        "the system starts no more threads" if threads else "there is not enough memory",
        found=f"a limit of {limit / 2**20:,.0f} MiB on this process (ulimit -v)" if limit else "",
        hint="raise the limits: ulimit -u, ulimit -v"
        if threads
        else "raise the limit: 1 GiB is enough for small nets"
        if limit and limit < 2**30
        else "a smaller `batch` needs less",
    )


def _our_mistake(error: Exception) -> int:
    text = str(error).strip() or "no message"
    render.say_aside(
        f"internal error: {type(error).__name__}: {text}\n"
        f"  This is a mistake of cnnspec {__version__}, not yours. Please report it with the spec and the\n"
        "  output of the same command under CNNSPEC_DEBUG=1."
    )
    return 3
