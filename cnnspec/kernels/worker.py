"""A process that compiles kernels: names come in, object code goes out.

Started by workers.py, with the number of the pipe for answers. Each line of the input is a kernel's name; each answer
is a line of JSON, followed by as many bytes of code as it says. The process ends with its input, so it outlives nobody.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import traceback
from collections.abc import Mapping
from typing import Any, BinaryIO

from ..by_type import import_modules

COLLECT_EVERY = 16  # kernels; between them the compiler's garbage may lie: collecting it takes a fifth of the time


def main(shared: bool = False) -> None:
    """Answer requests until there are no more; ``shared`` asks for code of a shared library."""
    answers, requests = os.fdopen(int(sys.argv[1]), "wb"), sys.stdin.buffer
    gc.disable()
    try:
        import_modules("cnnspec.kernels")  # fills the registry
        from .emit import emit
    except BaseException as error:
        _tell(answers, {"error": "start", "words": _words(error)})
        return
    _tell(answers, {"ready": os.getpid()})
    for number, line in enumerate(requests, start=1):
        name = line.decode().rstrip("\n")
        try:
            code = emit(name, shared=shared)
        except KeyError as error:
            _tell(answers, {"error": "unknown", "words": str(error.args[0])})
        except MemoryError as error:
            _tell(answers, {"error": "memory", "words": _words(error)})
        except Exception:
            _tell(answers, {"error": "failed", "words": traceback.format_exc()})
        else:
            _tell(answers, {"name": name, "bytes": len(code)}, code)
        if number % COLLECT_EVERY == 0:
            gc.collect()


def _tell(answers: BinaryIO, head: Mapping[str, Any], code: bytes = b"") -> None:
    try:
        answers.write(json.dumps(head).encode() + b"\n" + code)
        answers.flush()
    except BrokenPipeError:  # nobody waits any more
        os._exit(0)


def _words(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"
