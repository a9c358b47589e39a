"""What people still miss: openai 0.28.1's `prepare_data -q`, in an environment of its own."""

import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from platformdirs import user_cache_path

from conformance.environments import make_venv
from conformance.operation import CannotInstall

_PACKAGES = ["openai[datalib]==0.28.1", "numpy<2", "pandas<2.2"]


def find_legacy() -> list[str] | None:
    """The tool's command, to which `-f FILE` is added; None where it cannot be installed."""
    try:
        scripts = make_venv(user_cache_path("ftops-bench"), "prepare-data", _PACKAGES)
    except CannotInstall as error:
        print(f"no legacy tool here: {error}")
        return None
    return [str(scripts / "openai"), "tools", "fine_tunes.prepare_data", "-q"]


def time_command(command: Sequence[str], folder: Path) -> float:
    """Wall seconds of a command that must succeed, run in `folder`."""
    began = time.perf_counter()
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    took = time.perf_counter() - began
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip())[-2000:]
        raise SystemExit(f"{command[0]} ended with code {done.returncode}: {said}")
    return took
