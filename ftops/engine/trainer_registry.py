"""The trainers of the engine, by base model.

Listing the base models is cheap. A trainer, and NumPy with it, is imported on first use: a server
that only manages the queue stays small and starts at once.
"""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from ftops.engine.tiny.config import PARAMETER_COUNTS
from ftops.engine.trainer import Trainer
from ftops.errors import EngineError


@dataclass(frozen=True, slots=True)
class Entry:
    """A trainer: its base models with their approximate parameter counts, and its loader."""

    bases: Mapping[str, int]
    load: Callable[[], Trainer]


@functools.cache
def _load_tiny() -> Trainer:
    # Imports NumPy; see above.
    from ftops.engine.tiny.trainer import TinyTrainer

    return TinyTrainer()


TRAINERS: Mapping[str, Entry] = MappingProxyType({"tiny": Entry(PARAMETER_COUNTS, _load_tiny)})


def list_bases() -> dict[str, int]:
    """All base models, with their approximate parameter counts."""
    return {base: size for entry in TRAINERS.values() for base, size in entry.bases.items()}


def get_trainer(base: str) -> Trainer:
    """The trainer of this base model; EngineError when there is none."""
    for entry in TRAINERS.values():
        if base in entry.bases:
            return entry.load()
    raise EngineError(
        f"no base model {base!r}", hint=f"The engine trains {', '.join(list_bases())}."
    )
