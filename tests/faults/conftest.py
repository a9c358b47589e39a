"""Fixtures that the tests with the proxy share with the crash tests."""

from tests.crash.conftest import harness

__all__ = ["harness"]
