"""Installs clients in virtual environments, which are cached."""

import hashlib
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from conformance.operation import CannotInstall

# The SDKs that drive the stand-ins of other providers.
PROVIDER_SDKS = {
    "openai": ("openai==3.54.0",),
    "together": ("together==3.1.1",),
    "google-genai": ("google-genai==3.6.1",),
    "azure": (
        "azure-ai-projects==2.10.0", "azure-mgmt-cognitiveservices==14.1.0", "openai==3.54.0"
    ),
}  # fmt: skip


def make_venv(cache: Path, name: str, requirements: Sequence[str]) -> Path:
    """The `bin` folder of an environment with only these packages."""
    digest = hashlib.sha256("\n".join([sys.version, *requirements]).encode()).hexdigest()[:12]
    folder = cache / f"{name}-{digest}"
    scripts = folder / ("Scripts" if sys.platform == "win32" else "bin")
    done = folder / ".installed"
    if not done.exists():
        _call([sys.executable, "-m", "venv", "--clear", str(folder)])
        quiet = ["--quiet", "--disable-pip-version-check"]
        _call([str(scripts / "python"), "-m", "pip", "install", *quiet, *requirements])
        done.touch()
    return scripts


def _call(command: Sequence[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if "WARNING" not in line]
        raise CannotInstall(f"{' '.join(command[-4:])}: {' '.join(lines)[-300:]}")
