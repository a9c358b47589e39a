"""Operations of a client that is a script: it runs once and writes the outcomes of all of them."""

import json
from collections.abc import Callable, Sequence
from functools import partial

from conformance.operation import Failed, Operation, OperationContext

OUTCOMES = "outcomes.json"  # in the client's folder; null for what passed, else what was wrong


def list_script_operations(
    names: Sequence[str], run: Callable[[OperationContext], None]
) -> list[Operation]:
    """Operations with these names, the first of which runs the script."""
    return [Operation(name, partial(_attempt, name=name, run=run)) for name in names]


def _attempt(
    context: OperationContext, *, name: str, run: Callable[[OperationContext], None]
) -> None:
    path = context.folder / OUTCOMES
    if "ran" not in context.kept:
        context.kept["ran"] = "yes"
        run(context)
    if not path.exists():
        raise Failed("the script ended before this operation")
    outcomes = json.loads(path.read_text(encoding="utf-8"))
    if name not in outcomes:
        raise Failed("the script has no such operation")
    if outcomes[name] is not None:
        raise Failed(outcomes[name])
