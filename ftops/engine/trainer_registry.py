"""Trainers: what the engine trains with. `get_trainer` finds the one that offers a base model.

Naming the base models is cheap. A trainer itself, and NumPy with it, is imported when it is first
needed: a server that only keeps the queue stays small and starts at once.
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
    """A trainer that can be had: its base models with their parameters (about), and its maker."""

    bases: Mapping[str, int]
    load: Callable[[], Trainer]


@functools.cache
def _load_tiny() -> Trainer:
    # Imports NumPy; see above.
    from ftops.engine.tiny.trainer import TinyTrainer

    return TinyTrainer()


TRAINERS: Mapping[str, Entry] = MappingProxyType({"tiny": Entry(PARAMETER_COUNTS, _load_tiny)})


def list_bases() -> dict[str, int]:
    """Every base model that can be trained, with its parameters (about)."""
    return {base: size for entry in TRAINERS.values() for base, size in entry.bases.items()}


def get_trainer(base: str) -> Trainer:
    """The trainer that offers this base model; EngineError when none does."""
    for entry in TRAINERS.values():
        if base in entry.bases:
            return entry.load()
    raise EngineError(
        f"no base model {base!r}", hint=f"The engine trains {', '.join(list_bases())}."
    )
