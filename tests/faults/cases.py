"""Faults between the command and the engine: every kind of fault at every request.

Every test run uses `SHORT`; the long crash tests use `ALL`.
"""

from tests.faults.proxy import Fault, Kind

JOBS = "/v1/fine_tuning/jobs"
JOB = f"{JOBS}/[^/]+"
EVENTS = f"{JOBS}/[^/]+/events"
FILES = "/v1/files"
RESULTS = "/v1/files/[^/]+/content"
COMPLETIONS = "/v1/(chat/)?completions"

# The engine has received no request, or has handled it.
_WITHOUT_EFFECT: tuple[Kind, ...] = (
    "reset_before", "bad_gateway", "error_500", "limited_1", "limited_300", "conflict",
)  # fmt: skip
_WITH_EFFECT: tuple[Kind, ...] = (
    "reset_after", "silence_after", "truncated", "bad_gateway_after", "slow",
)  # fmt: skip
_PAGES: tuple[Kind, ...] = ("repeated_page", "missing_page", "wrong_has_more")
_RETRIED = tuple(kind for kind in (*_WITHOUT_EFFECT, *_WITH_EFFECT) if kind != "conflict")


def _at(method: str, path: str, nth: int, *kinds: Kind) -> list[Fault]:
    return [Fault(method, path, nth, kind) for kind in kinds]


# A second job would cost money.
CREATES = _at("POST", JOBS, 1, *_WITHOUT_EFFECT, *_WITH_EFFECT)
UPLOADS = [
    fault for nth in (1, 2) for fault in _at("POST", FILES, nth, *_WITHOUT_EFFECT, *_WITH_EFFECT)
]
READS = [
    fault
    for path, nth in ((FILES, 1), (JOBS, 1), (JOB, 3), (EVENTS, 2), (RESULTS, 1))
    for fault in _at("GET", path, nth, *_RETRIED)
]
PREDICTIONS = _at("POST", COMPLETIONS, 1, *_RETRIED)
# The next connection is refused.
REFUSED = [
    Fault("GET", FILES, 1, "refused_next"),
    Fault("POST", FILES, 2, "refused_next"),
    Fault("GET", JOBS, 1, "refused_next"),
    Fault("POST", JOBS, 1, "refused_next"),
    Fault("GET", JOB, 3, "refused_next"),
    Fault("GET", EVENTS, 2, "refused_next"),
    Fault("GET", RESULTS, 1, "refused_next"),
]
PAGED = [
    *(fault for path in (FILES, JOBS) for fault in _at("GET", path, 1, *_PAGES)),
    *(fault for nth in (1, 2, 3) for fault in _at("GET", EVENTS, nth, *_PAGES)),
    *(Fault("GET", EVENTS, 1, kind, once_ended=True) for kind in _PAGES),
]
ALL = [*CREATES, *UPLOADS, *READS, *PREDICTIONS, *REFUSED, *PAGED]
# A conflict as the response to a GET request.
CONFLICTS = [*_at("GET", JOB, 3, "conflict"), *_at("GET", EVENTS, 2, "conflict")]
# An upload whose response is lost, at a provider that lists files late.
LATE_FILES = _at("POST", FILES, 2, "reset_after", "bad_gateway_after")
SHORT = [
    Fault("POST", JOBS, 1, "reset_before"),
    Fault("POST", JOBS, 1, "reset_after"),
    Fault("POST", JOBS, 1, "truncated"),
    Fault("POST", JOBS, 1, "bad_gateway_after"),
    Fault("POST", JOBS, 1, "limited_300"),
    Fault("POST", JOBS, 1, "conflict"),
    Fault("GET", JOBS, 1, "refused_next"),
    Fault("POST", FILES, 1, "silence_after"),
    Fault("GET", EVENTS, 1, "missing_page", once_ended=True),
]
