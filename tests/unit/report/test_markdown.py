"""The Markdown report: one story with the table, bounded, and deaf to what a guest says."""

import html
import re
from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from bpfcompat.model import Check
from bpfcompat.outcome import Outcome, OutcomeKind, Stream
from bpfcompat.report import markdown

from .test_report import FAIL, INFRA, PASS, run, seen, target

MARKDOWN = MarkdownIt("gfm-like", {"linkify": False})
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
    tokens = MARKDOWN.parse(outside)
    inline = [child for token in tokens for child in token.children or ()]
    assert {child.type for child in inline} <= {"text", "code_inline", "html_inline", "strong_open", "strong_close"}
    tags = {tag for token in (*tokens, *inline) if "html" in token.type for tag in re.findall(r"</?\w+", token.content)}
    assert tags == {"<details", "</details", "<summary", "</summary", "<code", "</code"}
    read = "".join(child.content for child in inline if child.type == "text")
    assert not re.search(r"@|www|http|#\d|:\w+:", read), "what GitHub makes a mention or a link of stands in code"


def shown(text):
    """The texts that a reader sees of one paragraph or cell, and what else there is in it: links, emphasis, HTML."""
    inline = [token for token in MARKDOWN.parse(text) if token.type == "inline"]
    children = [child for token in inline for child in token.children]
    return "".join(child.content for child in children), {child.type for child in children} - {"text", "code_inline"}


@given(st.text(max_size=60) | st.text("a_`*|\\\\()<>&#[]!@:~-+=1. \n", max_size=40))
def test_what_is_escaped_reads_as_it_was(text):
    escaped = markdown.escape(text)
    assert "\n" not in escaped
    read, markup = shown(escaped)
    # Of our own sentences, what stands in backticks is code already.
    assert read.replace("`", "") == " ".join(markdown.plain(text).split()).replace("`", "")
    assert not markup


@given(st.text("a_`*|\\\\()<>&#[]!@:~-+=1. ", max_size=40))
@example("&#1")
def test_a_cell_stays_a_cell(text):
    cell = markdown.escape(text, cell=True)
    tokens = MARKDOWN.parse(f"| a | b |\n|---|---|\n| {cell} | end |\n")
    cells = [token for token in tokens if token.type == "inline"]
    assert len(cells) == 4
    assert cells[3].content == "end"
    read = "".join(
        child.content if child.type == "code_inline" else html.unescape(child.content)
        for child in cells[2].children
        if child.type != "html_inline"
    )
    assert read.replace("`", "") == " ".join(text.split()).replace("`", "")


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("Command exited 7 (expected 0) on this kernel.", "Command exited 7 (expected 0) on this kernel."),
        ("it calls bpf_loop, which is newer", "it calls `bpf_loop`, which is newer"),
        ("see kernel_lockdown(7).", "see `kernel_lockdown(7)`."),
        ("without it (CONFIG_FPROBE)", "without it (`CONFIG_FPROBE`)"),
        ("remove its `expect: fail`.", "remove its `expect: fail`."),
        ("Nothing in stdout matches /a|b/.", "Nothing in stdout matches `/a|b/`."),
        ("6.1.0-56-cloud-amd64", "6.1.0-56-cloud-amd64"),
        ("- 1. no list", "`-` 1. no list"),
    ],
)
def test_text_stays_readable(text, escaped):
    assert markdown.escape(text) == escaped


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
