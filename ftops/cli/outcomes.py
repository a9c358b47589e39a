"""What each stage found out, in a few words for people."""

from collections.abc import Callable, Mapping
from typing import TypeAlias

from ftops.records import Json, Stage, StageRecord, StageStatus

_Detail: TypeAlias = Mapping[str, Json]


def describe_outcome(record: StageRecord) -> str:
    """What came out of a stage, why it was skipped, or why it failed; "" when it says nothing."""
    if record.error:
        return record.error
    if record.status is StageStatus.SKIPPED:
        return f"skipped: {record.detail.get('reason') or 'nothing to do'}"
    if record.status is not StageStatus.SUCCEEDED:
        return ""
    return ", ".join(part for part in _DESCRIBERS[record.stage](record.detail) if part)


def render_bytes(count: float) -> str:
    """The number of bytes with the unit that fits: 812 B, 34.1 kB, 1.2 MB."""
    if count < 1e3:
        return f"{count:.0f} B"
    if count < 1e6:
        return f"{count / 1e3:.1f} kB"
    return f"{count / 1e6:.1f} MB" if count < 1e9 else f"{count / 1e9:.1f} GB"


def _describe_prepare(detail: _Detail) -> list[str]:
    rows = [
        f"{_number(file.get('rows')):,.0f} {kind} rows"
        for name, kind in (("training", "training"), ("validation", "validation"))
        if isinstance(file := detail.get(name), dict) and file.get("file_id") is None
    ]
    cost = detail.get("cost_usd")
    return [*rows, f"about ${_number(cost):,.2f}" if cost else ""]


def _describe_upload(detail: _Detail) -> list[str]:
    sent, total = _number(detail.get("sent_bytes")), _number(detail.get("bytes"))
    if total and not sent:
        return ["already there, nothing sent"]
    return [f"{render_bytes(sent)} sent"] if total else []


def _describe_create(detail: _Detail) -> list[str]:
    return [_text(detail, "job_id"), "found again" if detail.get("adopted") is True else ""]


def _describe_follow(detail: _Detail) -> list[str]:
    tuned = detail.get("hyperparameters")
    epochs = tuned.get("n_epochs") if isinstance(tuned, dict) else None
    tokens = detail.get("trained_tokens")
    return [
        "" if epochs is None else f"{epochs} epochs",
        "" if tokens is None else f"{_number(tokens):,.0f} tokens trained",
    ]


def _describe_results(detail: _Detail) -> list[str]:
    steps, loss = detail.get("step"), detail.get("train_loss")
    return [
        "" if steps is None else f"{_number(steps):,.0f} steps",
        "" if loss is None else f"training loss {_number(loss):.3f}",
    ]


def _describe_evaluate(detail: _Detail) -> list[str]:
    rows, figure = _number(detail.get("rows")), _number(detail.get("value"))
    shown = f"{figure:.1%}" if 0 <= figure <= 1 else f"{figure:,.3g}"
    missed = detail.get("missed")
    return [
        f"{_text(detail, 'primary_metric')} {shown} on {rows:,.0f} rows",
        f"{len(missed)} requirements missed" if isinstance(missed, list) and missed else "",
    ]


_DESCRIBERS: Mapping[Stage, Callable[[_Detail], list[str]]] = {
    Stage.PREPARE: _describe_prepare,
    Stage.UPLOAD: _describe_upload,
    Stage.CREATE: _describe_create,
    Stage.FOLLOW: _describe_follow,
    Stage.RESULTS: _describe_results,
    Stage.EVALUATE: _describe_evaluate,
}


def _number(value: Json) -> float:
    return float(value) if isinstance(value, int | float) else 0.0


def _text(detail: _Detail, name: str) -> str:
    value = detail.get(name)
    return value if isinstance(value, str) else ""
