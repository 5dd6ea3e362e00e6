"""The hunt in its small form: each part on a few cases, whose findings are none."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.slow
@pytest.mark.parametrize(("part", "share"), [("specs", 0.02), ("files", 0.05), ("kills", 0.03), ("caches", 0.06)])
def test_a_small_hunt_finds_nothing(part: str, share: float, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "hunt", part, "--share", str(share), "--folder", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_many_threads_and_forks_get_their_own_answers(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from hunt.threads import hunt;"
        "sys.exit(chr(10).join(hunt(8, 40, Path(sys.argv[1])).findings) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
