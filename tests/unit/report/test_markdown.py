"""The Markdown report: one story with the table, bounded, and deaf to what a guest says."""

import html
import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bpfcompat.model import Check, Outcome, OutcomeKind, Stream
from bpfcompat.report import markdown

from .test_report import FAIL, INFRA, PASS, run, seen, target

EVIL = "@everyone #1 <script>alert(1)</script> [x](http://x) ![i](y) `a` **b** | c\n# d\n- e www.f.com :smile: ~~g~~ $h$ &lt;"


def saying(row, text):
    outcome = replace(row.record.outcome, stderr=Stream(len(text), len(text), text))
    return replace(row, record=replace(row.record, outcome=outcome))


def test_a_run_reads_as_in_the_table():
    text = markdown.render(seen(run(target("a", PASS), target("b", FAIL, False), target("c", INFRA))))
    assert text.startswith("**bpfcompat**: 1 passed, 1 failed, 1 without a verdict")
    assert re.search(r"^\| a \| .* \| ✅ pass \| ", text, re.MULTILINE)
    assert re.search(r"^\| b \(optional\) \| .* \| ❌ fail \| ", text, re.MULTILINE)
    assert text.count("<details>") == text.count("</details>") == 2
    assert "b is optional" in text


def test_several_checks_are_a_grid():
    one = run(target("a", PASS), target("b", FAIL))
    checks = (Check("x", "p"), Check("y", "q"))
    targets = tuple(
        replace(row, job=replace(row.job, check=check, name=f"{row.job.name}/{check.name}"))
        for row in one.targets for check in checks
    )  # fmt: skip
    text = markdown.render(seen(replace(one, project=replace(one.project, checks=checks), targets=targets)))
    assert "| profile | kernel | p | q |" in text
    assert "| b | 6.1.0-56-cloud-amd64 | ❌ fail | ❌ fail |" in text


def test_a_guest_cannot_write_markup():
    row = saying(target("a", FAIL), EVIL + "\n```\n</details>\n@somebody\n````\n")
    row = replace(row, record=replace(row.record, verdict=replace(row.record.verdict, reason=EVIL)))
    text = markdown.render(seen(run(row)))
    fence = re.search(r"^(`{5,})text\n(.*?)\n\1$", text, re.MULTILINE | re.DOTALL)
    assert fence, "the fence is longer than any in the output"
    outside = text.replace(fence[0], "")
    assert "<script" not in outside
    assert "@everyone" not in outside
    assert "](http" not in outside
    assert "www.f" not in outside
    assert outside.count("</details>") == 1


@given(st.text(max_size=60))
def test_what_is_escaped_reads_as_it_was(text):
    shown = html.unescape(markdown.escape(text).replace("<!-- -->", ""))
    assert shown == " ".join(markdown.plain(text).split())
    assert "\n" not in markdown.escape(text)


@pytest.mark.parametrize(("rows", "size"), [(3000, 10), (40, 4000), (400, 4000)])
def test_the_report_is_bounded(rows, size):
    many = run(*(saying(target(f"k{n}", FAIL), "`@#" * (size // 3)) for n in range(rows)))
    text = markdown.render(seen(many))
    assert len(text) <= markdown.CHARACTERS_AT_MOST
    assert "left out here" in text
    assert text.count("<details>") == text.count("</details>")


def test_a_row_without_a_machine():
    row = target("a", INFRA)
    row = replace(row, record=replace(row.record, outcome=Outcome(OutcomeKind.NO_VERDICT, "x")))
    assert "| a |  | ⚠️ infra error | - |" in markdown.render(seen(run(row)))
