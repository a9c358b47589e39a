"""Findings as SARIF 2.1.0, which code hosts show next to the lines of a file."""

from collections.abc import Sequence
from pathlib import Path

from ftops.data.checks.registry import list_rules
from ftops.data.findings import Finding, Severity
from ftops.records import Json

_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_LEVELS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.ADVICE: "note"}


def render_sarif(found: Sequence[tuple[str, str, Sequence[Finding]]], version: str) -> Json:
    """One run of ftops; `found` has each source's name, the unit of places, and findings."""
    rules: list[Json] = [
        {
            "id": rule.code,
            "shortDescription": {"text": rule.title},
            "fullDescription": {"text": rule.explanation},
            "help": {"text": rule.advice},
            "defaultConfiguration": {"level": _LEVELS[rule.severity]},
        }
        for rule in list_rules()
    ]
    results: list[Json] = [
        _make_result(name, unit, finding) for name, unit, findings in found for finding in findings
    ]
    driver: Json = {"name": "ftops", "version": version, "rules": rules}
    return {
        "$schema": _SCHEMA,
        "version": "2.1.0",
        "runs": [{"tool": {"driver": driver}, "results": results}],
    }


def _make_result(name: str, unit: str, finding: Finding) -> Json:
    artifact: Json = {"uri": Path(name).as_posix()}
    places = finding.places if unit == "line" and finding.places else (1,)
    locations: list[Json] = [
        {"physicalLocation": {"artifactLocation": artifact, "region": {"startLine": place}}}
        for place in places
    ]
    return {
        "ruleId": finding.code,
        "level": _LEVELS[finding.severity],
        "message": {"text": f"{finding.message}. {finding.advice}"},
        "locations": locations,
    }
