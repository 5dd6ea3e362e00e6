"""A step of building a wheel, with HATCH_BUILD_HOOKS_ENABLE=1: what a first start would compute, on Linux x86-64."""

import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

# folder of the wheel -> code that fills a folder like it
MADE = {
    "cnnspec/kernels/machine_code": "from cnnspec.kernels.library import build, names_to_ship as n; build(folder, n())",
    "cnnspec/grammar": "from cnnspec.syntax.grammar import write_table; write_table(folder)",
}


class MadeBeforehand(BuildHookInterface):
    """Adds machine code of the kernels and the grammar's table to the wheel, whose tag then names the system."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "editable" or (sys.platform, platform.machine()) != ("linux", "x86_64"):
            return
        self.room = Path(tempfile.mkdtemp())
        for number, (place, code) in enumerate(MADE.items()):
            folder = self.room / str(number)
            folder.mkdir()
            code = f"from pathlib import Path; folder = Path({str(folder)!r}); {code}"
            environment = {**os.environ, "PYTHONPATH": self.root, "PYTHONDONTWRITEBYTECODE": "1"}
            subprocess.run([sys.executable, "-c", code], cwd=folder, env=environment, check=True)
            for path in sorted(folder.iterdir()):
                path.chmod(0o644)
                build_data["force_include"][str(path)] = f"{place}/{path.name}"
        build_data["pure_python"] = False
        build_data["tag"] = "py3-none-manylinux_2_27_x86_64"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        shutil.rmtree(getattr(self, "room", ""), ignore_errors=True)
