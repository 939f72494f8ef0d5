"""What a test program says of its tests, one by one. It decides no verdict: the command's own end does."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from bpfcompat.outcome import TestResult

AT_MOST = 10_000
"""Tests that are kept of one run."""
BYTES_AT_MOST = 32 << 20
"""Of the text that tells of them, what is read."""
_LINE_CHARACTERS = 4096
"""No longer line tells of a test; on longer ones the patterns below could take their time."""
_MESSAGE_CHARACTERS = 2000
_SECONDS_AT_MOST = 1e9
_NEVER_ENDED = "it began, and did not end"
_NEVER_BEGAN = "the plan has it, and it did not run"

_GO_NOW = re.compile(r"^\x16?=== (RUN|CONT|NAME)\s+(\S+)$")
_GO_END = re.compile(r"\x16?--- (PASS|FAIL|SKIP): (\S+) \(([0-9]+(?:\.[0-9]+)?)s\)$")
_GO_OTHER = re.compile(r"^\x16?(?:=== PAUSE\b|PASS$|FAIL\b|ok\s|exit status )")
_RUST = re.compile(r"^test (?!result: )(\S.*?) \.\.\. ?(.*)$")
_RUST_WORD = r"(ok|FAILED|ignored(?:, .*)?)(?: <([0-9]+(?:\.[0-9]+)?)s>)?"
_RUST_END = re.compile(_RUST_WORD)
_RUST_END_OF_LINE = re.compile(rf"(?:.*\s)?{_RUST_WORD}")
_RUST_LAST = re.compile(r"^(?:failures:$|test result: )")
_RUST_SAID = re.compile(r"^---- (\S.*) stdout ----$")
_TAP = re.compile(r"^(not )?ok\b(?:\s+([0-9]+))?(?:\s+-)?(.*)$", re.IGNORECASE)
_TAP_DIRECTIVE = re.compile(r"\s#\s*(SKIP|TODO)\b(.*)$", re.IGNORECASE)
_TAP_PLAN = re.compile(r"^1\.\.([0-9]{1,6})\b")


def read(text: str, form: str, whole: bool = True) -> tuple[TestResult, ...]:
    """Return the tests of a program's output, at most AT_MOST, in their order.

    form: go (go test -v), libtest (cargo test), tap or junit.
    whole: nothing is missing of the text, so that a test without an end in it did not end.
    Raises ValueError, with a sentence, if the text tells of none.
    """
    seen: dict[str, int] = {}
    found = []
    for one in FORMS[form](text):
        if not whole and one.message.endswith((_NEVER_ENDED, _NEVER_BEGAN)):
            continue
        seen[one.name] = seen.get(one.name, 0) + 1
        name = one.name if seen[one.name] == 1 else f"{one.name} ({seen[one.name]})"
        seconds = (
            one.seconds if one.seconds is not None and 0 <= one.seconds < _SECONDS_AT_MOST else None
        )  # JUnit's may be NaN
        found.append(TestResult(name, one.status, seconds, one.message[-_MESSAGE_CHARACTERS:].strip()))
        if len(found) == AT_MOST:
            break
    if not found:
        raise ValueError(f"it tells of no test in the format {form}")
    return tuple(found)


def _lines(text: str) -> Iterator[str]:
    return (line[:_LINE_CHARACTERS] for line in text.splitlines())


def _go(text: str) -> Iterator[TestResult]:
    began: dict[str, list[str]] = {}
    said: list[str] = []
    for line in _lines(text):
        if match := _GO_NOW.search(line):
            said = began.setdefault(match[2], []) if match[1] == "RUN" else began.get(match[2], [])
        elif match := _GO_END.search(line):
            before = began.pop(match[2], [])
            status = {"PASS": "pass", "FAIL": "fail", "SKIP": "skipped"}[match[1]]
            said = []
            yield TestResult(match[2], status, float(match[3]), "\n".join(before) if status != "pass" else "")
        elif not _GO_OTHER.search(line):
            said.append(line)
    for name, lines in began.items():
        yield TestResult(name, "fail", None, "\n".join([*lines, _NEVER_ENDED]))


def _libtest(text: str) -> Iterator[TestResult]:
    said = _libtest_said(text)

    def ended(match: re.Match[str]) -> TestResult:
        status = {"ok": "pass", "FAILED": "fail"}.get(match[1], "skipped")
        message = (
            said.get(name.removesuffix(" - should panic"), "") if status == "fail" else match[1].partition(", ")[2]
        )
        return TestResult(name, status, float(match[2]) if match[2] else None, message)

    name, last = (
        "",
        None,
    )  # with --nocapture a test's own words stand before its end, which is the last that looks like one
    for line in _lines(text):
        begun = _RUST.match(line)
        if name and (begun or _RUST_LAST.match(line)):
            yield ended(last) if last else TestResult(name, "fail", None, _NEVER_ENDED)
            name, last = "", None
        if begun:
            name = begun[1]
            if match := _RUST_END.fullmatch(begun[2]):
                yield ended(match)
                name = ""
        if name:
            last = _RUST_END_OF_LINE.fullmatch(begun[2] if begun else line) or last
    if name:
        yield TestResult(name, "fail", None, _NEVER_ENDED)


def _libtest_said(text: str) -> dict[str, str]:
    """Return what failed tests said, by their names."""
    said: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in _lines(text):
        if match := _RUST_SAID.match(line):
            lines = said.setdefault(match[1], [])
        elif line == "failures:":
            lines = []
        else:
            lines.append(line)
    return {name: "\n".join(of_one) for name, of_one in said.items()}


def _tap(text: str) -> Iterator[TestResult]:
    planned, number = 0, 0
    told = set()
    for line in _lines(text):
        if plan := _TAP_PLAN.match(line):
            planned = int(plan[1])
        elif match := _TAP.match(line):
            failed, numbered, said = match.groups()
            directive = _TAP_DIRECTIVE.search(said)
            name = said[: directive.start() if directive else None].strip()
            number = int(numbered) if numbered else number + 1
            told.add(number)
            status = "skipped" if directive else "fail" if failed else "pass"
            yield TestResult(name or f"test {number}", status, None, directive[0].strip(" #") if directive else "")
    for number in range(1, planned + 1):
        if number not in told:
            yield TestResult(f"test {number}", "fail", None, _NEVER_BEGAN)


def _junit(text: str) -> Iterator[TestResult]:
    import junitparser

    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        # It could name files of this machine.
        raise ValueError("it declares a document type, which JUnit has none of")
    start = text.find("<?xml") if "<?xml" in text else text.find("<testsuite")
    try:
        root = junitparser.JUnitXml.fromstring(text[max(0, start) :].strip().encode())
        suites = [root] if isinstance(root, junitparser.TestSuite) else list(root)
        told = [_case(case) for suite in suites for case in _cases(suite)]
    except Exception as error:  # a parser of whatever a guest prints
        raise ValueError(f"it cannot be read as JUnit's XML: {error}") from error
    yield from told


def _case(case: Any) -> TestResult:
    import junitparser

    failed = any(not isinstance(one, junitparser.Skipped) for one in case.result)
    status = "fail" if failed else "skipped" if case.is_skipped else "pass"
    message = " ".join(str(part) for one in case.result for part in (one.message, one.text) if part)
    return TestResult(f"{case.classname}.{case.name}" if case.classname else str(case.name), status, case.time, message)


def _cases(suite: Any) -> Iterator[Any]:
    import junitparser

    for one in suite:
        if isinstance(one, junitparser.TestSuite):
            yield from _cases(one)
        else:
            yield one


FORMS: dict[str, Callable[[str], Iterator[TestResult]]] = {
    "go": _go, "libtest": _libtest, "tap": _tap, "junit": _junit,
}  # fmt: skip
