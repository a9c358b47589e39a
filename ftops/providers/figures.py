"""What is known about a model before anything is sent: what it costs, what it takes, until when."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import date

from ftops.records import Json

SHIPPED = "ftops"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a figure comes from: `source` is the path of a user's file, or SHIPPED.

    `confirmed` is False for what is expected of the provider, but not published by it.
    """

    as_of: date
    source: str
    confirmed: bool = True


@dataclass(frozen=True, slots=True)
class ExampleLimit:
    """The most tokens that a row of training data may have; what is longer is cut."""

    tokens: int
    origin: Origin


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """Figures of one model at one provider; None is what nobody has told.

    Prices are US dollars for a million tokens. `origins` has an entry for each figure that is
    known; `price_advice` says which lines of which file tell the price of training.
    """

    train_usd: float | None = None
    input_usd: float | None = None
    cached_input_usd: float | None = None
    output_usd: float | None = None
    max_example_tokens: int | None = None
    no_jobs_from: date | None = None
    shutdown: date | None = None
    origins: Mapping[str, Origin] = field(default_factory=dict)
    price_advice: str = ""

    def find_example_limit(self) -> ExampleLimit | None:
        """How long a row may be, and who says so; None when nobody has told."""
        if self.max_example_tokens is None:
            return None
        return ExampleLimit(self.max_example_tokens, self.origins["max_example_tokens"])

    def to_json(self) -> dict[str, Json]:
        """The figures that are known, each with its date and its source."""
        return {
            name: {
                "value": value.isoformat() if isinstance(value, date) else value,
                "as_of": self.origins[name].as_of.isoformat(),
                "source": self.origins[name].source,
                "confirmed": self.origins[name].confirmed,
            }
            for name in MODEL_FIELDS
            if (value := getattr(self, name)) is not None and name in self.origins
        }


MODEL_FIELDS = tuple(
    one.name for one in fields(ModelInfo) if one.name not in ("origins", "price_advice")
)
