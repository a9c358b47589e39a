"""The tree in the docstring is the tree in the code, and every leaf says what to do next."""

import re

from ftops import errors
from ftops.errors import FtopsError


def _drawn_tree() -> dict[str, str]:
    """Class name → parent's name, read from the drawing."""
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


def _real_tree() -> dict[str, str]:
    return {
        name: thing.__bases__[0].__name__
        for name, thing in vars(errors).items()
        if isinstance(thing, type) and issubclass(thing, FtopsError) and thing is not FtopsError
    }


def test_the_drawn_tree_is_the_real_one() -> None:
    assert _drawn_tree() == _real_tree()


def test_a_hint_given_by_the_raiser_wins_over_the_one_of_the_class() -> None:
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


def test_every_class_of_the_tree_has_a_sentence_about_itself() -> None:
    for name in _real_tree():
        assert (getattr(errors, name).__doc__ or "").strip().endswith("."), name
