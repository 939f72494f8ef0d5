"""Annotations of a CI job: what counts is an error, and no text of a guest's can add a command of its own."""

from dataclasses import replace

from bpfcompat.report import annotations

from .test_report import FAIL, PASS, run, seen, target


def rendered(*targets):
    return annotations.render(seen(run(*targets))).splitlines()


def test_what_counts_is_an_error_and_what_does_not_a_warning():
    lines = rendered(target("a", PASS), target("b", FAIL), target("c", FAIL, required=False))
    assert [line.split(" ", 1)[0] for line in lines] == ["::error", "::warning"]
    assert lines[0].startswith("::error title=fail on b::")


def test_nothing_is_said_of_a_run_that_passed():
    assert rendered(target("a", PASS)) == []


def test_text_cannot_end_a_command_and_begin_another():
    evil = replace(FAIL, reason="100%\n::set-output name=x::y")
    (line,) = rendered(target("a", evil))
    assert line.startswith("::error title=fail on a::100%25%0A::set-output name=x::y")


def test_ten_of_a_level_are_shown_and_the_last_tells_of_the_rest():
    lines = rendered(*(target(f"k{number}", FAIL) for number in range(12)))
    assert len(lines) == 10
    assert "3 more jobs did not pass" in lines[-1]
