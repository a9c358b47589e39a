"""Renders an evaluation for CI: a Markdown summary, and requirements as JUnit XML."""

import re
from collections.abc import Iterator, Sequence
from xml.etree import ElementTree as Xml

from ftops.evaluation.result import CandidateScore, Evaluation
from ftops.evaluation.text import (
    describe_comparison,
    describe_outcome,
    describe_problems,
    describe_requirement,
    describe_savings,
    format_result,
    list_notes,
    list_part_comparisons,
)

_MARKS = re.compile(r"([\\`*_{}\[\]()#+\-.!|~$:@>])")
_HIDDEN = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u061c\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]"
)


def escape(text: str) -> str:
    """The text on one line, escaped for Markdown."""
    plain = _HIDDEN.sub(" ", text).replace("&", "&amp;").replace("<", "&lt;")
    return _MARKS.sub(r"\\\1", plain)


def render_markdown(evaluation: Evaluation, *, name: str) -> str:
    """Requirements, candidates, comparisons and skipped candidates as Markdown."""
    lines = [f"## {escape(name)}: {_describe_requirements(evaluation)}", ""]
    lines += [f"{escape(evaluation.file)}, {evaluation.rows:,} rows", ""]
    outcome = describe_outcome(evaluation)
    lines += [f"**{escape(outcome)}**", ""] if outcome else []
    for one in evaluation.requirements:
        lines.append(f"- {'✅' if one.met else '❌'} {escape(describe_requirement(one))}")
    lines += [""] if evaluation.requirements else []
    lines += [*_render_candidates(evaluation), ""]
    lines += _list("Compared", [describe_comparison(one) for one in evaluation.comparisons])
    parts = [text for text, _ in list_part_comparisons(evaluation)]
    lines += _list("Slices, and before and after tuning", parts)
    lines += _list("Saved", [text for one in evaluation.savings for text in describe_savings(one)])
    skipped = [f"{one.name}: {one.reason}" for one in evaluation.skipped]
    lines += _list("Skipped", skipped)
    lines += _list("Notes", list_notes(evaluation))
    return "\n".join(lines).rstrip() + "\n"


def _describe_requirements(evaluation: Evaluation) -> str:
    if not evaluation.requirements:
        return "evaluated"
    missed = sum(not one.met for one in evaluation.requirements)
    return f"{missed} of {len(evaluation.requirements)} requirements missed" if missed else "passed"


def _render_candidates(evaluation: Evaluation) -> Iterator[str]:
    metrics = list(dict.fromkeys(name for one in evaluation.candidates for name in one.metrics))
    columns = ["candidate", *metrics, "problems"]
    yield f"| {' | '.join(map(escape, columns))} |"
    yield f"| {' | '.join(['---', *('--:' for _ in metrics), '---'])} |"
    for one in evaluation.candidates:
        yield f"| {' | '.join(_cells(one, metrics))} |"


def _cells(candidate: CandidateScore, metrics: Sequence[str]) -> Iterator[str]:
    yield escape(candidate.name)
    for name in metrics:
        figure = candidate.metrics.get(name)
        yield "" if figure is None else escape(format_result(figure))
    yield escape(describe_problems(candidate))


def _list(title: str, sentences: Sequence[str]) -> list[str]:
    if not sentences:
        return []
    return [f"### {title}", "", *(f"- {escape(text)}" for text in sentences), ""]


# Characters that XML 1.0 does not allow, even escaped.
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def render_junit(evaluation: Evaluation, *, name: str, seconds: float = 0.0) -> str:
    """The requirements as test cases of the suite `name`; missed ones fail.

    Its properties say what answered.
    """
    missed = [one for one in evaluation.requirements if not one.met]
    counts = {"tests": str(len(evaluation.requirements)), "failures": str(len(missed))}
    root = Xml.Element("testsuites", {"name": "ftops", **counts})
    attributes = {"name": _clean(name), **counts, "errors": "0", "time": f"{seconds:.3f}"}
    suite = Xml.SubElement(root, "testsuite", attributes)
    served = [one for one in evaluation.candidates if one.system_fingerprints]
    properties = Xml.SubElement(suite, "properties") if served else suite
    for candidate in served:
        names = {
            "name": _clean(f"{candidate.name}.system_fingerprint"),
            "value": _clean(", ".join(candidate.system_fingerprints)),
        }
        Xml.SubElement(properties, "property", names)
    for one in evaluation.requirements:
        case = Xml.SubElement(
            suite, "testcase", {"classname": _clean(f"ftops.{name}"), "name": _clean(one.text)}
        )
        if not one.met:
            message = _clean(f"missed: {describe_requirement(one)}")
            failure = Xml.SubElement(case, "failure", {"message": message, "type": "requirement"})
            failure.text = message
    Xml.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + Xml.tostring(root, "unicode") + "\n"


def _clean(text: str) -> str:
    return _NOT_XML.sub("\ufffd", text)
