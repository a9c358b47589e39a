"""An evaluation for CI as JUnit XML: one test case for each requirement."""

import re
from xml.etree import ElementTree as Xml

from ftops.evaluation.result import Evaluation
from ftops.evaluation.text import describe_requirement

# What XML 1.0 does not take, whatever it is written as.
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def render_junit(evaluation: Evaluation, *, name: str, seconds: float = 0.0) -> str:
    """The requirements as test cases of the suite `name`; what was missed fails."""
    missed = [one for one in evaluation.requirements if not one.met]
    counts = {"tests": str(len(evaluation.requirements)), "failures": str(len(missed))}
    root = Xml.Element("testsuites", {"name": "ftops", **counts})
    attributes = {"name": _clean(name), **counts, "errors": "0", "time": f"{seconds:.3f}"}
    suite = Xml.SubElement(root, "testsuite", attributes)
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
