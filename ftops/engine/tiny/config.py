"""The four sizes of `tiny`, and the shape of a model.

The names are those of OpenAI's first tunable models, which are more than a thousand times as large.
This module imports no NumPy: a server without jobs needs it to list the base models.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

CONTEXT_LENGTH = 1024  # tokens of prompt and answer together
HEAD_DIM = 32


@dataclass(frozen=True, slots=True)
class ModelSize:
    """The dimensions of a size; the vocabulary is trained for each job."""

    n_layers: int
    width: int  # of the residual stream, in floats; a multiple of HEAD_DIM
    peak_learning_rate: float  # at a learning rate multiplier of 1


@dataclass(frozen=True, slots=True)
class ModelShape:
    """The dimensions that define the shapes of the weights."""

    n_layers: int
    width: int
    vocab_size: int  # special tokens included

    @property
    def n_heads(self) -> int:
        return self.width // HEAD_DIM

    @property
    def hidden(self) -> int:
        """The width of the MLP's hidden layer."""
        return 4 * self.width


SIZES: Mapping[str, ModelSize] = MappingProxyType(
    {
        "ada": ModelSize(n_layers=3, width=64, peak_learning_rate=2e-3),
        "babbage": ModelSize(n_layers=2, width=192, peak_learning_rate=1.5e-3),
        "curie": ModelSize(n_layers=3, width=352, peak_learning_rate=1e-3),
        "davinci": ModelSize(n_layers=4, width=448, peak_learning_rate=8e-4),
    }
)

PARAMETER_COUNTS: Mapping[str, int] = MappingProxyType(
    {"ada": 200_000, "babbage": 1_000_000, "curie": 5_000_000, "davinci": 10_000_000}
)
