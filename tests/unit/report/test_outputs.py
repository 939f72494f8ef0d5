"""Every output of one run, against golden files and its own validator; all of them tell the same story."""

import json
import os
import re
import stat
from dataclasses import replace
from html import unescape
from pathlib import Path

import pytest
from lxml import etree

from bpfcompat.errors import BpfcompatError
from bpfcompat.model import Check, Expectation, Job, Matrix, Payload, Shipped
from bpfcompat.outcome import Classification, Status, Stream, Verdict
from bpfcompat.project import schema
from bpfcompat.report import document, html, junit, markdown, output, table, view

from .test_report import FAIL, INFRA, NOW, PASS, run, target

GOLDEN = Path(__file__).parent / "golden"
EVIL = "</pre><script>alert(1)</script> `x` | ]]> \x1b[31mred\x1b[0m \x00 \udcff \uffff & <b>"
STDERR = """libbpf: prog 'on_exec': BPF program load failed: Invalid argument
invalid func unknown#181
libbpf: failed to load object 'probe_bpf'
"""
PANIC = Verdict(Status.FAIL, Classification.KERNEL_PANIC, "The kernel panicked while the command ran.", "command")
LOG = "[    1.5] Lockdown: loader: use of bpf to read kernel RAM is restricted; see man kernel_lockdown.7"


def row(profile, check, verdict, *, stderr="", log="", required=True, expects_failure=False, cached=False, **record):
    made = target(profile, verdict, required, cached, stderr)
    outcome = replace(made.record.outcome, kernel_log=log)
    job = Job(check, replace(made.job.profile, expects_failure=expects_failure), f"{profile}/{check.name}")
    made = replace(made, job=job, record=replace(made.record, job=job.name, outcome=outcome, **record))
    return replace(made, record=replace(made.record, qemu_command="qemu-system-x86_64 -M q35", boot="warm"))


def sample():
    """Three checks on four kernels, with everything that a row can come to."""
    load = Check("$BPFCOMPAT_BIN --load", "load")
    attach = Check("$BPFCOMPAT_BIN --attach", "attach", expect=Expectation(3))
    stress = Check("printf '<&>' | stress", "stress")
    killed = replace(FAIL, exit_code=137, signal="SIGKILL", reason="Command was killed by SIGKILL (expected exit 0).")
    rows = (
        row("old", load, FAIL, stderr=STDERR),
        row("old", attach, PANIC, log=LOG),
        row("old", stress, killed, stderr=EVIL),
        row("new", load, PASS, cached=True),
        row("new", attach, replace(PASS, exit_code=3)),
        row("new", stress, PASS, cached=True, imported_from="ci-7"),
        row("odd", load, FAIL, expects_failure=True),
        row("odd", attach, replace(PASS, exit_code=3), expects_failure=True),
        row("odd", stress, INFRA, expects_failure=True),
        row("far", load, FAIL, required=False),
        row("far", attach, INFRA, required=False),
        row("far", stress, PASS, required=False),
    )
    found = run(*rows)
    profiles = dict.fromkeys(made.job.profile for made in rows)
    project = replace(found.project, checks=(load, attach, stress), matrix=Matrix(tuple(profiles), "mine"))
    payload = Payload("d" * 64, binary=Shipped("/bpfcompat/payload/bin/loader", "loader", "b" * 64, 9))
    return replace(found, project=project, payloads={"load": payload}, boot="warm")


def reported(found):
    return document.render(found, {"json": "/w/.bpfcompat/report.json"})


def page():
    return etree.HTML(rendered(sample())["report.html"])


def rendered(found):
    report = reported(found)
    report["tool"]["version"] = "0.0"
    seen = view.read(report)
    return {
        "report.json": json.dumps(report, indent=2, ensure_ascii=False) + "\n",
        "table.txt": table.render(seen, NOW) + "\n",
        "report.md": markdown.render(seen),
        "report.xml": junit.render(seen),
        "report.html": html.render(seen, {"old/load": {"console": "[    0.0] Linux version\n"}}),
    }


@pytest.mark.parametrize("name", ["report.json", "table.txt", "report.md", "report.xml", "report.html"])
def test_golden(name, monkeypatch):
    monkeypatch.chdir("/")  # the table's paths are relative
    text = rendered(sample())[name].encode(errors="replace")
    golden = GOLDEN / name
    if os.environ.get("WRITE_GOLDEN"):  # then read the diff
        golden.parent.mkdir(exist_ok=True)
        golden.write_bytes(text)
    assert text == golden.read_bytes()


def test_report_json_fits_its_schema():
    assert schema.problems(reported(sample()), "report") == []


def junit_schema():
    return etree.XMLSchema(etree.parse(schema.FOLDER / "junit.xsd"))


def test_junit_fits_its_schema():
    for found in (sample(), run(target("a", PASS)), run()):
        tree = etree.fromstring(junit.render(view.read(reported(found))).encode())
        junit_schema().assertValid(tree)


def test_junit_is_red_where_the_exit_code_is():
    tree = etree.fromstring(junit.render(view.read(reported(sample()))).encode())
    told = {
        f"{case.get('name')}/{case.get('classname')}": [child.tag for child in case if "system" not in child.tag]
        for case in tree.iter("testcase")
    }
    assert told["old/load"] == ["failure"]
    assert told["odd/load"] == ["skipped"], "an expected failure"
    assert told["odd/attach"] == [], "an unexpected pass"
    assert told["odd/stress"] == ["error"]
    assert told["far/load"] == ["skipped"], "optional"
    assert (tree.get("failures"), tree.get("errors"), tree.get("skipped")) == ("3", "1", "3")


def test_all_outputs_tell_the_same_story():
    texts = rendered(sample())
    sentence = "4 passed, 4 failed, 1 failed as expected, 1 passed unexpectedly, 2 without a verdict (10 run, 2 cached)"
    for name in ("table.txt", "report.md", "report.html"):
        assert sentence in texts[name], name
    for name in ("table.txt", "report.md", "report.html", "report.xml"):
        for what in ("KERNEL_PANIC", "killed by SIGKILL", "bpf_loop, which this kernel does not have"):
            assert what in unescape(texts[name]).replace("`bpf_loop`", "bpf_loop"), (name, what)


def test_the_page_has_no_script_and_lets_none_in():
    tree = page()
    assert not list(tree.iter("script", "iframe", "img", "link", "object"))
    assert not [name for element in tree.iter() for name in element.attrib if name.startswith("on")]
    assert any("<script>alert(1)</script>" in (pre.text or "") for pre in tree.iter("pre")), "shown as it was printed"


def test_every_link_of_the_page_leads_somewhere():
    tree = page()
    identities = [element.get("id") for element in tree.iter() if element.get("id")]
    assert len(identities) == len(set(identities))
    links = {link.get("href") for link in tree.iter("a")}
    assert links <= {f"#{name}" for name in identities}
    assert len(links) == 1 + 12, "each cell's evidence, and the way back"


def test_no_output_lets_a_guest_drive_a_terminal():
    for name, text in rendered(sample()).items():
        if name != "report.json":  # JSON has an escape of its own
            assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f]", text), name


def test_a_long_log_is_shown_by_both_ends(tmp_path):
    from bpfcompat.report import output

    log = tmp_path / "stderr.log"
    log.write_bytes(b"begin" + b"x" * 200_000 + b"end")
    text = output._both_ends(log, 1000)
    assert text.startswith("begin")
    assert text.endswith("end")
    assert "bytes of stderr.log left out here" in text
    assert len(text) < 1100
    assert output._both_ends(tmp_path / "gone", 1000) == ""


def test_profiles_come_in_the_order_of_the_matrix():
    assert list(view.read(reported(sample())).by_profile()) == ["old", "new", "odd", "far"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes device nodes; CI is root")
def test_no_report_replaces_a_device_or_a_link_and_one_that_fails_does_not_stop_the_others(tmp_path, capsys):
    null, full, link = tmp_path / "null", tmp_path / "full", tmp_path / "link"
    os.mknod(null, stat.S_IFCHR | 0o666, os.makedev(1, 3))
    os.mknod(full, stat.S_IFCHR | 0o666, os.makedev(1, 7))
    link.symlink_to(tmp_path / "behind")
    found = replace(sample(), project=replace(sample().project, workdir=tmp_path / "work"))
    with pytest.raises(BpfcompatError, match=f"No space left on device: {full}"):
        output.write(found, output.Wanted(json=null, markdown=full, junit=link))
    assert stat.S_ISCHR(null.stat().st_mode)
    assert stat.S_ISCHR(full.stat().st_mode)
    assert link.is_symlink()
    assert (tmp_path / "behind").read_text().startswith("<?xml")


CALIBRATES = (
    "[    1.9] tsc: Refined TSC clocksource calibration: 2419.2 MHz\n[    2.0] clocksource: Switched to clocksource tsc"
)
FAULT = "[    2.1] loader[77]: segfault at 0 ip 0000000000401136 sp 00007ffd error 4"


@pytest.mark.parametrize(
    ("stdout", "stderr", "log", "verdict", "words"),
    [
        ("--- FAIL: TestX", "", "", FAIL, ["stdout"]),
        ("--- FAIL: TestX", " \n", CALIBRATES, FAIL, ["stdout"]),
        ("progress", "it failed", "", FAIL, ["stderr"]),
        ("", "it failed", f"{CALIBRATES}\n{FAULT}", FAIL, ["stderr", "the kernel log"]),
        ("progress", "it waits", "", replace(PANIC, exit_code=None), ["stdout", "stderr"]),
        ("", "", CALIBRATES, replace(INFRA, failed_stage="infra"), ["the kernel log"]),
    ],
)
def test_a_failure_shows_what_tells_something(stdout, stderr, log, verdict, words):
    one = row("k", Check("x", "c"), verdict, stderr=stderr, log=log)
    outcome = replace(one.record.outcome, stdout=Stream(len(stdout), len(stdout), stdout))
    found = run(replace(one, record=replace(one.record, outcome=outcome)))
    (shown,) = view.read(reported(found)).rows
    assert [name for name, _ in shown.last_words] == words
    for text in (table.render(view.read(reported(found)), NOW), markdown.render(view.read(reported(found)))):
        assert re.findall(r"last lines of ([\w ]+):", text) == words
        assert ("clocksource" in text) == (verdict.failed_stage == "infra")
