"""What goes wrong between the command and the engine: every kind of fault, at every request.

`SHORT` is what every run of the tests goes through; `ALL` is the proof.
"""

from tests.faults.proxy import Fault, Kind

JOBS = "/v1/fine_tuning/jobs"
JOB = f"{JOBS}/[^/]+"
EVENTS = f"{JOBS}/[^/]+/events"
FILES = "/v1/files"
RESULTS = "/v1/files/[^/]+/content"
ANSWERS = "/v1/(chat/)?completions"

# Nothing has happened at the engine, or everything has; and how an answer may be spoilt.
_WITHOUT_EFFECT: tuple[Kind, ...] = (
    "reset_before", "bad_gateway", "error_500", "limited_1", "limited_300", "conflict",
)  # fmt: skip
_WITH_EFFECT: tuple[Kind, ...] = (
    "reset_after", "silence_after", "truncated", "bad_gateway_after", "slow",
)  # fmt: skip
_PAGES: tuple[Kind, ...] = ("repeated_page", "missing_page", "wrong_has_more")
_PASSING = tuple(kind for kind in (*_WITHOUT_EFFECT, *_WITH_EFFECT) if kind != "conflict")


def _at(method: str, path: str, nth: int, *kinds: Kind) -> list[Fault]:
    return [Fault(method, path, nth, kind) for kind in kinds]


# A job is asked for: the place where a mistake costs money.
CREATES = _at("POST", JOBS, 1, *_WITHOUT_EFFECT, *_WITH_EFFECT)
UPLOADS = [
    fault for nth in (1, 2) for fault in _at("POST", FILES, nth, *_WITHOUT_EFFECT, *_WITH_EFFECT)
]
READS = [
    fault
    for path, nth in ((FILES, 1), (JOBS, 1), (JOB, 3), (EVENTS, 2), (RESULTS, 1))
    for fault in _at("GET", path, nth, *_PASSING)
]
ANSWERED = _at("POST", ANSWERS, 1, *_PASSING)
# Nobody listens when the next request comes: to upload, to create, to look, to fetch, to ask.
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
ALL = [*CREATES, *UPLOADS, *READS, *ANSWERED, *REFUSED, *PAGED]
# A question that is answered by a conflict, though it changes nothing.
CONFLICTS = [*_at("GET", JOB, 3, "conflict"), *_at("GET", EVENTS, 2, "conflict")]
# An upload whose answer is lost, at a provider that lists files late.
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
