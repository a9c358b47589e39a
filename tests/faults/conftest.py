"""What the tests at the proxy share with the crash tests."""

from tests.crash.conftest import nursery

__all__ = ["nursery"]
