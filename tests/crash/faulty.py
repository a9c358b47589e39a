"""The provider of the schedules: the folder-backed one, with a schedule of faults and places where
a process stops or dies."""

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
from tests.crash.schedule import LASTING, METHODS, WITH_EFFECT, Fault, Kind
from tests.runs.fake_provider import FakeProvider

_client = openai.OpenAI(api_key="none", base_url="http://host/v1")  # sends nothing
_BADLY = ("failed", "cancelled")
_PAGE = b"<html><body><h1>This page is in the way</h1></body></html>"
_OBJECT = b'{"error": {"message": "no", "type": "proof", "param": null, "code": null}}'
_ERRORS: dict[Kind, Callable[[], ProviderError]] = {
    "refused": lambda: Unreachable("connection refused"),
    "unavailable": lambda: Unavailable("the server had an error", status=500),
    "limited": lambda: RateLimited("slow down", status=429, retry_after_s=1.0),
    "limited_long": lambda: RateLimited("slow down", status=429, retry_after_s=300.0),
    "conflict": lambda: Rejected("there is a conflict", status=409),
    "lost": lambda: Unreachable("connection reset before the answer came"),
    "garbled": lambda: InvalidResponse("the answer is not JSON"),
    "bad_gateway": lambda: Unavailable("<html>bad gateway</html>", status=502),
}


class FaultyProvider(FakeProvider):
    """Counts the calls of this process; `met` has the faults that really happened."""

    def __init__(self, folder: Path, clock: Clock, faults: Sequence[Fault] = ()) -> None:
        super().__init__(folder, clock)
        self.met: list[Fault] = []
        self.created_beside: list[int] = []  # living or successful jobs, as another was created
        self.stop_before: tuple[str, int] | None = None
        self._faults = faults
        self._calls: Counter[str] = Counter()
        self._inside = False

    def call(self, name: str, work: Callable[[], Any]) -> Any:
        """One call from outside; what the provider asks of itself is none."""
        if self._inside:
            return work()
        self._calls[name] += 1
        place = (name, self._calls[name])
        if place == self.stop_before:
            os.kill(os.getpid(), signal.SIGSTOP)
        crashpoints.reach(f"provider.{name}.before")
        fault = self._find_fault(*place)
        if fault:
            self.met.append(fault)
        if fault and fault.kind == "answer":
            raise _read_answer(fault, self.clock)
        if fault and fault.kind in _ERRORS and fault.kind not in WITH_EFFECT:
            raise _ERRORS[fault.kind]()
        if name == "create_job":
            self.created_beside.append(sum(job.status not in _BADLY for job in self.jobs()))
        self._inside = True
        self.repeats_events = fault is not None and fault.kind == "repeated"
        try:
            answer = work()
        finally:
            self._inside = False
        crashpoints.reach(f"provider.{name}.after")
        if fault and fault.kind == "answer_after":
            raise _read_answer(fault, self.clock)
        if fault and fault.kind in WITH_EFFECT:
            raise _ERRORS[fault.kind]()
        # The newest events are missing: only while more of them will be told by a later list.
        short = fault is not None and fault.kind == "short" and not self.jobs()[-1].ended
        return answer[: len(answer) // 2] if short else answer

    def _find_fault(self, method: str, call: int) -> Fault | None:
        for fault in self._faults:
            until = fault.nth + (LASTING if fault.lasts else 0)
            if fault.method == method and fault.nth <= call <= until:
                return fault
        return None


def _read_answer(fault: Fault, clock: Clock) -> ProviderError:
    """The error that ftops makes of an answer with that status and body."""
    action, body = f"{fault.method} is answered", _PAGE if fault.page else _OBJECT
    if fault.status < 400:
        return InvalidResponse(f"{action}: malformed response: it is not JSON")
    asks = httpx2.Request("POST" if fault.kind == "answer_after" else "GET", "http://host/v1/x")
    response = httpx2.Response(fault.status, content=body, request=asks)
    return read_error_response(response, action, now=clock.now(), secret="")


def _through_call(name: str) -> Callable[..., Any]:
    original = getattr(FakeProvider, name)

    def method(self: FaultyProvider, *arguments: Any, **named: Any) -> Any:
        return self.call(name, lambda: original(self, *arguments, **named))

    return method


for _name in METHODS:
    setattr(FaultyProvider, _name, _through_call(_name))
