"""Crash points: the code reaches each point at which a test kills a process."""

import ast
from collections.abc import Iterator

from ftops.ledger.file import list_crash_points
from tests.crash import test_engine, test_notifications, test_pruning, test_uploads
from tests.crash.schedule import METHODS, POINTS
from tests.runs.fake_provider import FakeProvider
from tests.structure import Structure

MIN_POINTS = 62  # calls of `reach`


def list_reach_calls() -> Iterator[ast.expr]:
    for module in Structure().modules.values():
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("reach"):
                yield from node.args[:1]


def list_reached() -> set[str]:
    """The points in the code; those of the ledger come from the names of its changes."""
    literal = {str(name.value) for name in list_reach_calls() if isinstance(name, ast.Constant)}
    return literal | set(list_crash_points())


def test_no_crash_point_is_removed() -> None:
    points = [name for name in list_reach_calls() if isinstance(name, ast.Constant | ast.JoinedStr)]
    assert len(points) >= MIN_POINTS


def test_each_point_of_a_schedule_is_reached() -> None:
    names = {name for group in POINTS.values() for name in group}
    of_provider = {name for name in names if name.startswith("provider.")}
    assert names - of_provider <= list_reached()
    assert all(hasattr(FakeProvider, method) for method in METHODS)


def test_each_point_of_a_test_is_reached() -> None:
    names = {
        *test_engine.POINTS,
        *(point for point, _ in test_notifications.POINTS),
        *test_pruning.POINTS,
        *test_uploads.POINTS,
    }
    assert names <= list_reached()
