"""A step of building a wheel, with HATCH_BUILD_HOOKS_ENABLE=1: machine code of the kernels, on Linux x86-64."""

import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class MachineCode(BuildHookInterface):
    """Adds what cnnspec/kernels/library.py builds to the wheel, whose tag then names the system."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "editable" or (sys.platform, platform.machine()) != ("linux", "x86_64"):
            return
        self.folder = tempfile.mkdtemp()
        command = [sys.executable, "-m", "cnnspec.kernels.library", self.folder]
        subprocess.run(command, cwd=self.root, env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}, check=True)
        for path in sorted(Path(self.folder).iterdir()):
            build_data["force_include"][str(path)] = f"cnnspec/kernels/machine_code/{path.name}"
        build_data["pure_python"] = False
        build_data["tag"] = "py3-none-manylinux_2_27_x86_64"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        shutil.rmtree(getattr(self, "folder", ""), ignore_errors=True)
