"""The tree of errors in the docstring matches the classes, and every class is documented."""

import re

from ftops import errors
from ftops.errors import FtopsError


def _documented_tree() -> dict[str, str]:
    """Class name → parent's name, read from the docstring."""
    parents: dict[str, str] = {}
    stack: list[tuple[int, str]] = []
    for line in (errors.__doc__ or "").splitlines():
        if match := re.match(r"([ │]*(?:├── |└── )?)([A-Z]\w+)", line.removeprefix("    ")):
            depth = len(match[1])
            if not match[1] and match[2] != "FtopsError":
                continue
            while stack and stack[-1][0] >= depth:
                stack.pop()
            if stack:
                parents[match[2]] = stack[-1][1]
            stack.append((depth, match[2]))
    return parents


def _class_tree() -> dict[str, str]:
    return {
        name: value.__bases__[0].__name__
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, FtopsError) and value is not FtopsError
    }


def test_the_documented_tree_matches_the_classes() -> None:
    assert _documented_tree() == _class_tree()


def test_a_passed_hint_overrides_the_hint_of_the_class() -> None:
    assert errors.AuthFailed("no key").hint == errors.AuthFailed.hint
    assert errors.AuthFailed("no key", hint="Ask Ops.").hint == "Ask Ops."


def test_a_reworded_error_differs_in_its_message_and_hint_only() -> None:
    error = errors.RateLimited("slow", hint="Wait.", status=429, retry_after_s=2.0, final=True)
    other = error.reworded("slow down", "")
    assert (str(other), other.message, other.hint) == (
        "slow down", "slow down", errors.RateLimited.hint
    )  # fmt: skip
    assert (type(other), other.status, other.retry_after_s, other.final) == (
        errors.RateLimited, 429, 2.0, True
    )  # fmt: skip
    assert (str(error), error.hint) == ("slow", "Wait.")


def test_every_class_has_a_docstring_that_ends_with_a_full_stop() -> None:
    for name in _class_tree():
        assert (getattr(errors, name).__doc__ or "").strip().endswith("."), name
