"""What `./dev peers` says of a run: nothing that fails goes by unexplained, and no explanation outlives what it explains."""

from bench.suites import grid, outcome
from bench.suites.outcome import Cell, Reason

KNOWN = [Reason("It is not built in.", ("old",), (("link", "TestKprobe*"),))]


def cell(status="fail", failed=("TestKprobeMulti",), kernel="old"):
    return Cell("link", kernel, status, 5, 0, failed)


def test_what_is_explained_is_no_complaint():
    assert outcome.complaints([cell(), cell("pass", (), "new")], KNOWN) == []


def test_what_is_not_explained_on_this_kernel_is_one():
    (said,) = outcome.complaints([cell(), cell(kernel="new")], KNOWN)
    assert said == "TestKprobeMulti of link on new fails, and nothing explains it."


def test_an_explanation_of_what_passes_is_one():
    (said,) = outcome.complaints([cell("pass", ())], KNOWN)
    assert "explains nothing on old any more" in said


def test_a_failure_that_names_no_test_and_a_cell_without_a_verdict_are():
    assert "names no test" in outcome.complaints([cell(failed=())], [])[0]
    assert "no verdict" in outcome.complaints([cell("infra_error", ())], [])[0]
    assert "passed, and says" in outcome.complaints([cell("pass")], KNOWN)[0]


def test_every_cell_is_in_the_picture_and_red_ones_have_their_reason():
    drawn = grid.svg([cell(), cell("pass", (), "new")], KNOWN, {"old": "5.10.0"})
    assert "5, 1 failed (1)" in drawn
    assert "5.10.0" in drawn
    assert "`TestKprobeMulti`" in grid.page([cell()], KNOWN)


def test_the_explanations_are_read():
    assert all(reason.why and reason.kernels and reason.tests for reason in outcome.reasons())
