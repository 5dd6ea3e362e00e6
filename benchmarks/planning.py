"""How long the compiler takes for deep nets: ``python -m benchmarks.planning`` prints CPU seconds, stage by stage.

    python -m benchmarks.planning                    # 1,000 and 5,000 layers of four nets
    python -m benchmarks.planning 1000 19000         # other depths

A chain of conv and relu is the net that it is about; the others have more edges. Each figure is the least of ROUNDS.
"""

from __future__ import annotations

import sys
from time import process_time

from cnnspec.compiler import Compiler
from cnnspec.text import table

ROUNDS = 3
STAGES = ("ast", "model", "summary", "backward", "plan", "inference_plan")
NETS = {  # a block, and how many layers it has
    "conv, relu": ("conv 4 3x3 -> relu", 2),
    "conv, bn, relu": ("conv 4 3x3 -> bn -> relu", 3),
    "residual": ("residual {\nconv 4 3x3 -> bn -> relu -> conv 4 3x3 -> bn\n}\nrelu", 7),
    "dense block": ("concat {\n| identity\n| bn -> relu -> conv 4 3x3\n}", 5),
}


def main() -> None:
    """Print a table: a row for each net and depth, a column for each stage, and what a training plan takes in all."""
    depths = [int(word) for word in sys.argv[1:]] or [1000, 5000]
    seconds_of("conv 4 3x3 -> bn -> relu", 1)  # imports, and the grammar
    head, rows = ["net", "layers", *STAGES, "text to training plan"], []
    for name, (block, layers) in NETS.items():
        for depth in depths:
            rounds = [seconds_of(block, depth // layers) for _ in range(ROUNDS)]
            best = [min(column) for column in zip(*rounds, strict=True)]
            whole = min(sum(r[: STAGES.index("plan") + 1]) - r[STAGES.index("summary")] for r in rounds)
            rows.append([name, f"{depth:,}", *(f"{s:.2f}" for s in best), f"{whole:.2f}"])
    print("\n".join(table(head, rows, "l" + "r" * (len(head) - 1))))


def seconds_of(block: str, times: int) -> list[float]:
    """Return CPU seconds of each stage of a net that has a block so many times, written out."""
    compiler = Compiler.from_text(f"input 8x8x4\n{(block + chr(10)) * times}flatten -> dense 10\n")
    seconds = []
    for stage in STAGES:
        start = process_time()
        getattr(compiler, stage)
        seconds.append(process_time() - start)
    return seconds


if __name__ == "__main__":
    main()
