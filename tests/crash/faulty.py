"""The provider of the schedules: the folder-backed fake provider with faults and crash points."""

import os
import signal
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import httpx2
import openai

from ftops import crashpoints
from ftops.clock import Clock
from ftops.errors import (
    InvalidResponse,
    ProviderError,
    RateLimited,
    Rejected,
    Unavailable,
    Unreachable,
)
from ftops.http.errors import read_error_response
from tests.crash.schedule import LASTING_CALLS, METHODS, WITH_EFFECT, Fault, Kind
from tests.runs.fake_provider import FakeProvider

_client = openai.OpenAI(api_key="none", base_url="http://host/v1")  # sends nothing
_WITHOUT_MODEL = ("failed", "cancelled")
_PAGE = b"<html><body><h1>Proxy error</h1></body></html>"
_ERROR_OBJECT = b'{"error": {"message": "no", "type": "proof", "param": null, "code": null}}'
_ERRORS: dict[Kind, Callable[[], ProviderError]] = {
    "refused": lambda: Unreachable("connection refused"),
    "unavailable": lambda: Unavailable("the server had an error", status=500),
    "limited": lambda: RateLimited("slow down", status=429, retry_after_s=1.0),
    "limited_long": lambda: RateLimited("slow down", status=429, retry_after_s=300.0),
    "conflict": lambda: Rejected("there is a conflict", status=409),
    "lost": lambda: Unreachable("connection reset before the response"),
    "garbled": lambda: InvalidResponse("the response is not JSON"),
    "bad_gateway": lambda: Unavailable("<html>bad gateway</html>", status=502),
}


class FaultyProvider(FakeProvider):
    """Counts the calls of this process; `injected` lists the faults that happened."""

    def __init__(self, folder: Path, clock: Clock, faults: Sequence[Fault] = ()) -> None:
        super().__init__(folder, clock)
        self.injected: list[Fault] = []
        self.job_counts: list[int] = []  # running or succeeded jobs at each create
        self.stop_before: tuple[str, int] | None = None
        self._faults = faults
        self._calls: Counter[str] = Counter()
        self._inside = False

    def call(self, name: str, method: Callable[[], Any]) -> Any:
        """Make one call; calls that the provider makes to itself have no faults."""
        if self._inside:
            return method()
        self._calls[name] += 1
        nth_call = (name, self._calls[name])
        if nth_call == self.stop_before:
            os.kill(os.getpid(), signal.SIGSTOP)
        crashpoints.reach(f"provider.{name}.before")
        fault = self._find_fault(*nth_call)
        if fault:
            self.injected.append(fault)
        if fault and fault.kind == "answer":
            raise _build_error(fault, self.clock)
        if fault and fault.kind in _ERRORS and fault.kind not in WITH_EFFECT:
            raise _ERRORS[fault.kind]()
        if name == "create_job":
            self.job_counts.append(sum(job.status not in _WITHOUT_MODEL for job in self.jobs()))
        self._inside = True
        self.repeats_events = fault is not None and fault.kind == "repeated"
        try:
            result = method()
        finally:
            self._inside = False
        crashpoints.reach(f"provider.{name}.after")
        if fault and fault.kind == "answer_after":
            raise _build_error(fault, self.clock)
        if fault and fault.kind in WITH_EFFECT:
            raise _ERRORS[fault.kind]()
        # The newest events are missing, but only while a later call lists them.
        short = fault is not None and fault.kind == "short" and not self.jobs()[-1].ended
        return result[: len(result) // 2] if short else result

    def _find_fault(self, method: str, call: int) -> Fault | None:
        for fault in self._faults:
            until = fault.nth + (LASTING_CALLS if fault.lasts else 0)
            if fault.method == method and fault.nth <= call <= until:
                return fault
        return None


def _build_error(fault: Fault, clock: Clock) -> ProviderError:
    """The error that ftops raises for a response with this status and body."""
    action, body = f"{fault.method} fails", _PAGE if fault.page else _ERROR_OBJECT
    if fault.status < 400:
        return InvalidResponse(f"{action}: malformed response: it is not JSON")
    request = httpx2.Request("POST" if fault.kind == "answer_after" else "GET", "http://host/v1/x")
    response = httpx2.Response(fault.status, content=body, request=request)
    return read_error_response(response, action, now=clock.now(), secret="")


def _through_call(name: str) -> Callable[..., Any]:
    original = getattr(FakeProvider, name)

    def method(self: FaultyProvider, *arguments: Any, **named: Any) -> Any:
        return self.call(name, lambda: original(self, *arguments, **named))

    return method


for _name in METHODS:
    setattr(FaultyProvider, _name, _through_call(_name))
