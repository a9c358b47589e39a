"""Asks the built-in engine what a job would be like, without starting it: a process that ends."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import orjson

ESTIMATE_COMMAND = (sys.executable, "-P", "-m", "ftops.engine.estimate")
_WAIT_S = 120.0


@dataclass(frozen=True, slots=True)
class EngineEstimate:
    """Tokens of one epoch by the engine's own vocabulary, and what "auto" becomes.

    `learned_tokens` are those that the model learns to say, `longest` those of the longest row,
    and `cut_rows` rows are longer than the model reads.
    """

    tokens: int
    learned_tokens: int
    longest: int
    cut_rows: int
    vocabulary: int
    n_epochs: int
    batch_size: int


def estimate_with_engine(
    path: Path, model: str, *, command: tuple[str, ...] = ESTIMATE_COMMAND
) -> EngineEstimate | None:
    """What training `model` on the prepared file at `path` would be like; None when it cannot say.

    That is so for a model that was tuned before (it keeps its own vocabulary), for rows that the
    engine does not take, and where there is no engine.
    """
    try:
        done = subprocess.run(
            [*command, str(path), "--model", model],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_WAIT_S,
            check=True,
        )
        return EngineEstimate(**orjson.loads(done.stdout))
    except (OSError, subprocess.SubprocessError, ValueError, TypeError):
        return None
