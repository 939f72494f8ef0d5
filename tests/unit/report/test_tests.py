"""The tests that commands tell of, kernel by kernel, in every output."""

import re
from dataclasses import replace

from lxml import etree

from bpfcompat.model import Check
from bpfcompat.outcome import Stream, TestResult
from bpfcompat.project import schema
from bpfcompat.report import tests, view

from .test_outputs import EVIL, junit_schema, rendered, reported, row
from .test_report import FAIL, PASS, run

SUITE = Check("./suite", "suite", results="go")


def ran(profile, verdict, **statuses):
    made = row(profile, SUITE, verdict)
    results = tuple(
        TestResult(name, status, 0.25, f"{name}: {EVIL}" if status == "fail" else "")
        for name, status in statuses.items()
    )
    outcome = replace(made.record.outcome, results=results, stdout=Stream(4, 4, "FAIL"))
    return replace(made, record=replace(made.record, outcome=outcome))


def suites(last=FAIL):
    found = run(
        ran("old", FAIL, loads="pass", loop="fail", broken="fail", btf="skipped"),
        ran("new", last, loads="pass", loop="pass", broken="fail", btf="skipped", late="pass"),
    )
    return replace(found, project=replace(found.project, checks=(SUITE,)))


def test_what_does_not_agree_between_kernels_stands_first():
    (grid,) = tests.grids(view.read(reported(suites())))
    assert [(line.name, line.cells) for line in grid.lines] == [
        ("loop", ("fail", "pass")), ("late", ("-", "pass")), ("broken", ("fail", "fail")), ("loads", ("pass", "pass")),
        ("btf", ("skipped", "skipped")),
    ]  # fmt: skip
    assert [line.name for line in grid.to_look_at] == ["loop", "late", "broken"]
    assert grid.sentence.endswith(
        "5 on 2 kernels: 2 do not agree between kernels, 1 fails everywhere, 1 passes everywhere, 1 is skipped everywhere"
    )


def test_a_kernel_on_which_none_were_told_is_named():
    found = run(ran("old", FAIL, loads="pass", loop="fail"), ran("new", FAIL))
    (grid,) = tests.grids(view.read(reported(replace(found, project=replace(found.project, checks=(SUITE,))))))
    assert grid.profiles == ("old",)
    assert grid.sentence.endswith("2 on 1 kernel: 1 fails, 1 passes; none told on new")


def test_every_output_has_the_grid():
    texts = rendered(suites())
    for name in ("table.txt", "report.md", "report.html"):
        assert "2 do not agree between kernels, 1 fails everywhere" in texts[name], name
    assert "| loop | ❌ fail | ✅ pass |" in texts["report.md"]
    assert re.search(r"^loop +fail +pass$", texts["table.txt"], re.MULTILINE)
    table = etree.HTML(texts["report.html"]).find(".//table[@class='tests']")
    cells = [[" ".join("".join(cell.itertext()).split()) for cell in line] for line in table.iter("tr")]
    assert cells[:2] == [["test", "old", "new"], ["loop", "✗ fail", "✓ pass"]]
    assert not list(etree.HTML(texts["report.html"]).iter("script"))


def test_report_json_has_them_behind_the_command_itself():
    report = reported(suites())
    assert schema.problems(report, "report") == []
    command, *told = report["targets"][0]["functional"]["tests"]
    assert "told_by" not in command
    assert [(test["name"], test["status"], test["duration_ms"]) for test in told] == [
        ("loads", "pass", 250), ("loop", "fail", 250), ("broken", "fail", 250), ("btf", "skipped", 250),
    ]  # fmt: skip


def test_junit_has_a_case_for_each():
    tree = etree.fromstring(rendered(suites())["report.xml"].encode())
    junit_schema().assertValid(tree)
    assert (tree.get("tests"), tree.get("failures"), tree.get("skipped")) == ("11", "5", "2")
    found = {(case.get("classname"), case.get("name")): [child.tag for child in case] for case in tree.iter("testcase")}
    assert found["command.old", "loop"] == ["failure"]
    assert found["command.new", "loop"] == []
    assert found["command.new", "btf"] == ["skipped"]


def test_they_are_red_only_where_their_command_is():
    made = ran("old", PASS, loop="fail")
    found = run(made)
    tree = etree.fromstring(
        rendered(replace(found, project=replace(found.project, checks=(SUITE,))))["report.xml"].encode()
    )
    assert (tree.get("failures"), tree.get("skipped")) == ("0", "1")
    assert reported(found)["summary"]["status"] == "pass", "they decide nothing"
