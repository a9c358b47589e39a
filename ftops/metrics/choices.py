"""Which metrics there are, and how a user names them. Imports nothing heavy: job files ask it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from ftops.records import Json


@dataclass(frozen=True, slots=True)
class MetricChoice:
    """A metric by its name, and what it is told."""

    name: str
    settings: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting of a metric; `kind` is the type of its value."""

    name: str
    kind: type
    needed: bool = False


_LABEL = Setting("positive", str)
_BINS = Setting("bins", int)

# The first setting of a metric is what stands behind its name where that is all: `regex: "^[AB]$"`.
KNOWN: Mapping[str, tuple[Setting, ...]] = MappingProxyType(
    {
        "accuracy": (),
        "precision": (),
        "precision_weighted": (),
        "precision_micro": (),
        "recall": (),
        "recall_weighted": (),
        "recall_micro": (),
        "f1": (),
        "f1_weighted": (),
        "f1_micro": (),
        "auroc": (_LABEL,),
        "auprc": (_LABEL,),
        "calibration_error": (_BINS,),
        "brier": (),
        "exact_match": (),
        "token_f1": (),
        "rouge_l": (),
        "bleu": (),
        "chrf": (),
        "edit_distance": (),
        "json_valid": (),
        "json_schema": (Setting("file", str, needed=True),),
        "regex": (Setting("pattern", str, needed=True),),
        "stop_reached": (),
        "max_chars": (Setting("max", int, needed=True),),
        "python": (Setting("function", str, needed=True),),
    }
)
_NAME = Setting("name", str)  # every metric may be given a name of its own


def read_choice(value: Json) -> MetricChoice:
    """What one entry of a list of metrics says; ValueError in plain words when it is none.

    It is a name (`f1`), a name and its first setting (`{regex: "^[AB]$"}`), or a name and settings
    (`{regex: {pattern: "^[AB]$", name: letter}}`). `judge` is not known here: who asks models
    makes that metric.
    """
    if isinstance(value, str):
        return check_choice(MetricChoice(value))
    if not isinstance(value, dict) or len(value) != 1:
        raise ValueError("a metric is a name, or a name with its settings: `regex: ^[AB]$`")
    ((name, told),) = value.items()
    if isinstance(told, dict):
        return check_choice(MetricChoice(name, told))
    if told is None:
        return check_choice(MetricChoice(name))
    known = KNOWN.get(name)
    if known == ():
        raise ValueError(f"`{name}` takes no value; write the name alone")
    return check_choice(MetricChoice(name, {known[0].name: told} if known else {}))


def check_choice(choice: MetricChoice) -> MetricChoice:
    """The same choice; ValueError in plain words when name or settings are wrong."""
    if choice.name not in KNOWN:
        raise ValueError(f"there is no metric `{choice.name}`; there are {', '.join(KNOWN)}")
    taken = {one.name: one for one in (*KNOWN[choice.name], _NAME)}
    for name, value in choice.settings.items():
        if name not in taken:
            raise ValueError(
                f"`{choice.name}` takes no `{name}`; it takes {', '.join(sorted(taken))}"
            )
        kind = taken[name].kind
        if not isinstance(value, kind) or isinstance(value, bool):
            wanted = {str: "text", int: "a whole number"}[kind]
            raise ValueError(f"`{name}` of `{choice.name}` is {wanted}, not {value!r}")
        if isinstance(value, int) and value < 1:
            raise ValueError(f"`{name}` of `{choice.name}` is 1 or more, not {value}")
    for one in KNOWN[choice.name]:
        if one.needed and not choice.settings.get(one.name):
            raise ValueError(f"`{choice.name}` needs `{one.name}`: `{choice.name}: …`")
    return choice


def name_choices(choices: Sequence[MetricChoice]) -> list[str]:
    """What each one's figure is called; ValueError where two would be called the same."""
    names: list[str] = []
    for choice in choices:
        name = str(choice.settings.get("name") or choice.name)
        if name in names:
            raise ValueError(
                f"two metrics are called `{name}`; give one of them another `name` in its settings"
            )
        names.append(name)
    return names
