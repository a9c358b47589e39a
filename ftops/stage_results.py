"""What the first stages found out, as they leave it in the ledger for the later ones."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Literal, TypeVar

from ftops.errors import LedgerError
from ftops.records import DataPlan, Json, PlanStep, RowFormat

Role = Literal["train", "validation"]
Kind = TypeVar("Kind", str, int, float)


@dataclass(frozen=True, slots=True)
class PreparedFile:
    """Data ready for the provider: a file in the run's folder, or one that lies there already."""

    role: Role
    source: str  # as the job file names it
    file_id: str | None = None  # the job file names a file at the provider
    sha256: str = ""
    bytes: int = 0
    rows: int = 0

    @property
    def filename(self) -> str:
        """The file's name in the run's folder."""
        return f"{self.role}.jsonl"


@dataclass(frozen=True, slots=True)
class PreparedData:
    """What the prepare stage made; costs in US dollars, `None` where not known."""

    row_format: RowFormat
    separator: str
    stop: str | None
    training: PreparedFile
    validation: PreparedFile | None = None
    tokens: int | None = None
    n_epochs: int | None = None
    cost_usd: float | None = None
    overlap_rows: int | None = None  # validation rows that are training rows too
    plan: DataPlan | None = None

    @property
    def files(self) -> tuple[PreparedFile, ...]:
        """Training and, when there is one, validation."""
        return (self.training, self.validation) if self.validation else (self.training,)

    @property
    def get_request_format(self) -> RowFormat:
        """How a model that learned of these rows is asked: preferences are about chats."""
        return RowFormat.CHAT if self.row_format is RowFormat.PREFERENCE else self.row_format

    def to_json(self) -> dict[str, Json]:
        """Figures for people first; what only later stages read is nested."""
        return {
            "rows": self.training.rows or None,
            "validation_rows": (self.validation.rows or None) if self.validation else None,
            "tokens": self.tokens,
            "n_epochs": self.n_epochs,
            "cost_usd": self.cost_usd,
            "overlap_rows": self.overlap_rows,
            "recipe": {
                "row_format": self.row_format.value,
                "separator": self.separator,
                "stop": self.stop,
            },
            "training": asdict(self.training),
            "validation": asdict(self.validation) if self.validation else None,
            **({"plan": self.plan.to_json()} if self.plan else {}),
        }

    @classmethod
    def from_json(cls, detail: Mapping[str, Json]) -> "PreparedData":
        """What `to_json` gave; LedgerError when it is something else."""
        recipe = get_object(detail, "recipe")
        validation = detail.get("validation")
        return cls(
            row_format=RowFormat(get_value(recipe, "row_format", str)),
            separator=get_value(recipe, "separator", str),
            stop=find_value(recipe, "stop", str),
            training=_prepared_file(get_object(detail, "training")),
            validation=_prepared_file(get_object(detail, "validation")) if validation else None,
            tokens=find_value(detail, "tokens", int),
            n_epochs=find_value(detail, "n_epochs", int),
            cost_usd=find_value(detail, "cost_usd", float),
            overlap_rows=find_value(detail, "overlap_rows", int),
            plan=find_kept_plan(detail),
        )


def find_kept_plan(detail: Mapping[str, Json]) -> DataPlan | None:
    """The plan by which the data of a run was prepared, if there was one."""
    kept = detail.get("plan")
    if not isinstance(kept, dict):
        return None
    steps, read = kept.get("steps"), get_object(kept, "read")
    return DataPlan(
        steps=tuple(
            PlanStep(code, get_object(step, code))
            for step in (steps if isinstance(steps, list) else ())
            if isinstance(step, dict)
            for code in step
        ),
        read={name: str(value) for name, value in read.items()},
    )


def get_object(detail: Mapping[str, Json], name: str) -> Mapping[str, Json]:
    """The mapping of that name; LedgerError when it is missing."""
    value = detail.get(name)
    if not isinstance(value, dict):
        raise LedgerError(f"the ledger is damaged: the detail of a stage lacks {name!r}")
    return value


def get_value(detail: Mapping[str, Json], name: str, kind: type[Kind]) -> Kind:
    """The value of that name and kind; LedgerError when it is missing."""
    value = find_value(detail, name, kind)
    if value is None:
        raise LedgerError(f"the ledger is damaged: the detail of a stage lacks {name!r}")
    return value


def find_value(detail: Mapping[str, Json], name: str, kind: type[Kind]) -> Kind | None:
    """The value of that name if there is one of that kind."""
    value = detail.get(name)
    if kind is float and isinstance(value, int):
        value = float(value)
    return value if isinstance(value, kind) else None


def _prepared_file(value: Mapping[str, Json]) -> PreparedFile:
    return PreparedFile(
        role="validation" if value.get("role") == "validation" else "train",
        source=get_value(value, "source", str),
        file_id=find_value(value, "file_id", str),
        sha256=get_value(value, "sha256", str),
        bytes=get_value(value, "bytes", int),
        rows=get_value(value, "rows", int),
    )
