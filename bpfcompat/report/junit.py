"""A report as JUnit XML (schemas/junit.xsd): what CI systems show as tests."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from bpfcompat.report.text import plain, short
from bpfcompat.report.view import Report, Row, Test


def render(report: Report) -> str:
    """Return a report as JUnit XML, a suite a check and a test case a kernel.

    What does not count is told as skipped: a failure that is expected, and whatever an optional profile comes to. So a
    viewer is red where the exit code is, and nowhere else.
    """
    root = ET.Element("testsuites", _totals("bpfcompat", report.rows))
    for check in report.checks:
        rows = tuple(row for row in report.rows if row.check == check)
        attributes = {**_totals(check or report.subject, rows), "timestamp": report.started_at.split(".")[0]}
        suite = ET.SubElement(root, "testsuite", attributes)
        properties = ET.SubElement(suite, "properties")
        for name, value in {"run": report.run_id, "matrix": report.matrix, **report.tool}.items():
            ET.SubElement(properties, "property", name=name, value=plain(value))
        for row in rows:
            _case(suite, row, check or report.subject)
            for test in row.tests:
                _test(suite, row, test, f"{check or report.subject}.{row.profile}")
    ET.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(root, encoding="unicode")}\n'


def _test(suite: ET.Element, row: Row, test: Test, classname: str) -> None:
    """Add a test that a command told of; it decides nothing, so it is red only where its command is."""
    case = ET.SubElement(
        suite, "testcase", name=plain(test.name), classname=plain(classname), time=f"{test.seconds:.3f}"
    )
    if element := _of_test(row, test):
        beside = element == "skipped" and test.status == "fail"
        why = f"failed, in a command that counts as {row.label}" if beside else test.message
        told = ET.SubElement(case, element, message=plain(short(why) or test.status))
        if element == "failure":
            told.set("type", "test")
            told.text = plain(test.message)


def _of_test(row: Row, test: Test) -> str:
    if test.status == "pass":
        return ""
    return "failure" if test.status == "fail" and outcome(row) in {"failure", "error"} else "skipped"


def outcome(row: Row) -> str:
    """Return the element that tells what a row came to: failure, error, skipped, or nothing for a pass."""
    if row.label in {"pass", "xpass"}:
        return ""
    if not row.required or row.label == "xfail":
        return "skipped"
    return "error" if row.label == "infra_error" else "failure"


def _totals(name: str, rows: tuple[Row, ...]) -> dict[str, str]:
    found = [outcome(row) for row in rows] + [_of_test(row, test) for row in rows for test in row.tests]
    return {
        "name": plain(name), "tests": str(len(found)), "failures": str(found.count("failure")),
        "errors": str(found.count("error")), "skipped": str(found.count("skipped")),
        "time": f"{sum(row.seconds for row in rows):.3f}",
    }  # fmt: skip


def _case(suite: ET.Element, row: Row, name: str) -> None:
    case = ET.SubElement(suite, "testcase", name=row.profile, classname=plain(name), time=f"{row.seconds:.3f}")
    element = outcome(row)
    if element:
        message = row.reason if element != "skipped" else f"{_why_skipped(row)}: {row.reason}"
        told = ET.SubElement(case, element, message=plain(message))
        if element != "skipped":
            told.set("type", row.classification)
            hints = [f"hint: {hint}" for hint in row.hints]
            kernel = ["the kernel log:", row.kernel_log] if row.kernel_log else []
            told.text = plain("\n".join([row.reason, *hints, *row.notes, *_splat(row), *kernel]))
    # A test case that passed has no other place for what there is to say of it.
    beside = [] if element else [*(f"note: {note}" for note in row.notes), *_splat(row)]
    for text, tag in ((row.tails["stdout"], "system-out"), ("\n".join([row.tails["stderr"], *beside]), "system-err")):
        if text.strip():
            ET.SubElement(case, tag).text = plain(text)


def _splat(row: Row) -> list[str]:
    return ["the kernel said:", row.splat] if row.splat else []


def _why_skipped(row: Row) -> str:
    return f"{row.label}, which is optional and does not count" if not row.required else "xfail, which is expected"
