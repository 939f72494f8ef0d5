"""Tests that a command tells of: real output of go test and of libtest, and the formats of TAP and JUnit by their specifications."""

from pathlib import Path

import pytest

from bpfcompat.verdict import results

PRINTED = Path(__file__).parent / "results"
TAP = """TAP version 13
1..7
ok 1 - loads
not ok 2 - attaches # bpf_loop is not there
  ---
  message: 'not supported'
  ...
ok 3 - needs BTF # SKIP no BTF on this kernel
not ok 4 - new # TODO not written
ok
# a comment: ok 9 - is none
    ok 1 - of a subtest
Bail out! out of memory
"""
JUNIT = """<?xml version="1.0" encoding="UTF-8"?>
<testsuites>
  <testsuite name="load" tests="4" failures="1" errors="1" skipped="1">
    <testcase classname="load.Maps" name="ring" time="0.25"/>
    <testcase classname="load.Maps" name="arena" time="0.5">
      <failure message="refused" type="x">map create: EINVAL &lt;22&gt;</failure>
    </testcase>
    <testcase name="btf"><skipped message="no BTF"/></testcase>
    <testcase name="worker"><error message="died">SIGSEGV</error></testcase>
    <testsuite name="inner"><testcase name="deep"/></testsuite>
  </testsuite>
</testsuites>
"""


def none_told(text, form):
    with pytest.raises(ValueError, match=r"^it ") as told_why:
        results.read(text, form)
    return str(told_why.value)


def told(text, form):
    return {one.name: one.status for one in results.read(text, form)}


def messages(text, form):
    return {one.name: one.message for one in results.read(text, form) if one.message}


GO = {
    "TestPass": "pass", "TestFail": "fail", "TestSkip": "skipped", "TestSubs": "fail", "TestSubs/one_two": "pass",
    "TestSubs/three": "fail",
}  # fmt: skip


@pytest.mark.parametrize(("name", "last"), [("go.txt", "pass"), ("go-died.txt", "fail")])
def test_what_go_test_printed(name, last):
    text = (PRINTED / name).read_text()
    assert told(text, "go") == {**GO, "TestDies": last}
    assert "bpf_loop: not supported" in messages(text, "go")["TestFail"]
    assert messages(text, "go")["TestSkip"] == "x_test.go:5: kernel too old"


def test_a_test_whose_end_may_be_in_what_is_missing_is_left_out():
    text = "=== RUN   TestA\n--- PASS: TestA (0.00s)\n=== RUN   TestB\n"
    assert [one.name for one in results.read(text, "go", whole=False)] == ["TestA"]
    assert [one.name for one in results.read("1..3\nok 1\n", "tap", whole=False)] == ["test 1"]


def test_a_go_test_that_was_cut_off_has_failed():
    text = (PRINTED / "go.txt").read_text().partition("--- FAIL: TestSubs ")[0]
    assert told(text, "go") == {
        "TestPass": "pass", "TestFail": "fail", "TestSkip": "skipped", "TestSubs": "fail", "TestSubs/one_two": "fail",
        "TestSubs/three": "fail",
    }  # fmt: skip
    assert messages(text, "go")["TestSubs/one_two"].endswith("it began, and did not end")


@pytest.mark.parametrize("name", ["libtest.txt", "libtest-nocapture.txt"])
def test_what_libtest_printed(name):
    text = (PRINTED / name).read_text()
    assert told(text, "libtest") == {
        "tests::ignored": "skipped", "tests::passes": "pass", "tests::fails": "fail", "tests::should - should panic": "pass",
        "tests::should_fail - should panic": "fail",
    }  # fmt: skip
    said = messages(text, "libtest")
    assert said["tests::ignored"] == "needs root"
    assert "did not panic as expected" in said["tests::should_fail - should panic"]
    assert ("bpf_loop" in said.get("tests::fails", "")) == (name == "libtest.txt"), "else it went to stderr"


def test_a_libtest_that_died_names_its_last_test():
    text = (PRINTED / "libtest-nocapture.txt").read_text().partition("FAILED\n")[0]
    assert told(text, "libtest") == {"tests::fails": "fail"}


def test_tap():
    assert told(TAP, "tap") == {
        "loads": "pass", "attaches # bpf_loop is not there": "fail", "needs BTF": "skipped", "new": "skipped", "test 5": "pass",
        "test 6": "fail", "test 7": "fail",
    }  # fmt: skip
    assert messages(TAP, "tap")["needs BTF"] == "SKIP no BTF on this kernel"
    assert none_told("1..0 # SKIP no root\n", "tap") == "it tells of no test in the format tap"
    assert told("1..3\nok 1\nok 3\n", "tap") == {"test 1": "pass", "test 3": "pass", "test 2": "fail"}, "2 did not run"
    assert told("ok 1 - a\nnot ok 2 - b\n1..2\n", "tap") == {"a": "pass", "b": "fail"}, "the plan may stand at the end"


def test_junit():
    assert told(JUNIT, "junit") == {
        "load.Maps.ring": "pass", "load.Maps.arena": "fail", "btf": "skipped", "worker": "fail", "deep": "pass",
    }  # fmt: skip
    ring, arena = results.read(JUNIT, "junit")[:2]
    assert (ring.seconds, arena.seconds) == (0.25, 0.5)
    assert arena.message == "refused map create: EINVAL <22>"
    one = '<testsuite name="s"><testcase name="alone"/></testsuite>'
    assert told(f"make: entering\n{one}\n", "junit") == {"alone": "pass"}


def test_xml_of_a_guest_reads_no_file_of_this_machine(tmp_path):
    (tmp_path / "secret").write_text("secret")
    named = f'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY e SYSTEM "{(tmp_path / "secret").as_uri()}">]>'
    text = f'{named}<testsuite name="s"><testcase name="a"><error>&e;</error></testcase></testsuite>'
    assert "document type" in none_told(text, "junit")


@pytest.mark.parametrize("form", results.FORMS)
def test_what_is_none_of_a_format_holds_no_tests(form):
    for text in ("", "\n", "\0\udcff <", "loading ok\nokay\n<testsuite", "ok" * 100_000, "test " * 100_000):
        assert none_told(text, form)


def test_what_a_go_test_says_is_its_own_beside_others():
    text = (
        "=== RUN   TestA\n=== PAUSE TestA\n=== RUN   TestB\n=== PAUSE TestB\n=== CONT  TestA\n    a says\n=== NAME  TestB\n"
        "    b says\n--- FAIL: TestB (0.10s)\n--- FAIL: TestA (0.20s)\nFAIL\n"
    )
    assert messages(text, "go") == {"TestB": "b says", "TestA": "a says"}


def test_words_of_a_rust_test_are_not_its_end():
    said = "running 2 tests\ntest a ... map create ok\nattach FAILED\nok\ntest b ... prog load ok\nFAILED\n\ntest result: FAILED.\n"
    assert told(said, "libtest") == {"a": "pass", "b": "fail"}
    assert told(said.partition("FAILED\n\n")[0], "libtest") == {"a": "pass", "b": "fail"}, "it died after these words"


def test_a_time_that_is_none_is_left_out():
    text = '<testsuite name="s"><testcase name="a" time="nan"/><testcase name="b" time="-1"/><testcase name="c" time="2"/></testsuite>'
    assert [one.seconds for one in results.read(text, "junit")] == [None, None, 2.0]
    assert none_told('<testsuite name="s"><testcase name="a" time="soon"/></testsuite>', "junit")


def test_names_are_told_apart_and_kept_within_bounds():
    assert told("ok 1 - a\nnot ok 2 - a\n", "tap") == {"a": "pass", "a (2)": "fail"}
    many = "".join(f"ok {number} - t{number}\n" for number in range(1, results.AT_MOST + 9))
    assert len(results.read(many, "tap")) == results.AT_MOST
    (one,) = results.read(f"=== RUN   T\n{'x' * 99_999}\n--- FAIL: T (0.00s)\n", "go")
    assert len(one.message) == 2000
