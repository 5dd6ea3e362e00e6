"""How long ``cnnspec fmt`` takes: ``python -m benchmarks.formatting`` prints CPU seconds and the memory of the process.

The first table has long specs, written out layer by layer, in bad layout; a time that is linear grows tenfold. The
second has specs that were written to hurt: as many words as a spec may have. Each figure is the least of ROUNDS.
"""

from __future__ import annotations

import resource
from time import process_time

from cnnspec.compiler import Compiler
from cnnspec.errors import SpecError
from cnnspec.text import table

ROUNDS = 3
DEPTHS = (500, 5000)
NETS = {  # what is repeated, how many layers it has, and what stands between
    "lines": ("conv   4 3x3->bn->relu   # why", 3, "\n"),
    "one chain": ("conv 4 3x3 -> bn -> relu", 3, " -> "),
    "residual": ("residual {\nconv 4 3x3 -> bn -> relu -> conv 4 3x3 -> bn\n}\nrelu", 7, "\n\n"),
    "repeats": ("repeat 1 {conv 4 3x3 -> bn }\n\n\n\nrelu", 3, "\n"),
}
HURTFUL = {
    "chain": " -> ".join(["relu"] * 33_000),
    "labels": "".join(f"l{i}: relu\n" for i in range(32_000)),
    "calls": ("x " + "1 " * 900 + "\n") * 100,
    "list": "x [" + "1," * 49_000 + "1]",
    "lists of lists": "x " + ("[" * 45 + "1," * 10 + "]" * 45 + " ") * 800,
    "table": "for a, b in [" + "(1,2)," * 16_000 + "(1,2)] { relu }",
    "numbers of a filter": "filter f {\n" + "1 0 -1\n" * 24_000 + "}",
    "parentheses": ("x (" + "(" * 45 + "a" + ")" * 45 + ")\n") * 1000,
    "bodies in a line": ("repeat 2 { " * 45 + "relu" + " }" * 45 + "\n") * 500,
    "clauses": "if a { b }" + " else if a { b }" * 15_000,
    "comments": "x [" + "1, # a\n" * 24_000 + "1]",
    "blank lines": ("relu" + "\n" * 90) * 9000,
    "a word of a megabyte": 'x "' + "# " * 400_000 + '"',
}


def main() -> None:
    """Print both tables."""
    rows = []
    for name, (piece, layers, between) in NETS.items():
        for depth in DEPTHS:
            text = f"input 8x8x4\n{between.join([piece] * (depth // layers))}\nflatten -> dense 10\n"
            seconds = (f"{least(text, shapes=shapes)[0]:.2f}" for shapes in (False, True))
            rows.append((name, f"{depth:,}", *seconds))
    print("\n".join(table(("net", "layers", "fmt", "fmt --shapes"), rows, "lrrr")), end="\n\n")
    hurt = []
    for name, text in HURTFUL.items():
        seconds_taken, outcome = least(text)
        hurt.append((name, f"{len(text):,}", f"{seconds_taken:.2f}", outcome))
    print("\n".join(table(("written to hurt", "characters", "fmt", ""), hurt, "lrrl")))
    print(f"\npeak memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")


def least(text: str, *, shapes: bool = False) -> tuple[float, str]:
    """Return the CPU seconds from text to its canonical form, reading and proof included, and how it ended."""
    best, outcome = float("inf"), "formatted"
    for _ in range(ROUNDS):
        start = process_time()
        try:
            Compiler.from_text(text).formatted(shapes=shapes)
        except SpecError as error:
            outcome = f"refused: {error.diagnostics[0].code}"
        best = min(best, process_time() - start)
    return best, outcome


if __name__ == "__main__":
    main()
