"""One switch for what is too slow for every change: BPFCOMPAT_SLOW=1, which CI sets, and =all, for which CI has no time."""

import os

import pytest

from tests import disagreements

CHOICES = {"": {"slow", "long"}, "1": {"long"}, "all": set()}
CHOSEN = os.environ.get("BPFCOMPAT_SLOW", "")
LEFT_OUT = CHOICES.get(CHOSEN, set())
TOLD = pytest.StashKey[list[tuple[str, str]]]()


def pytest_configure():
    if CHOSEN not in CHOICES:
        raise pytest.UsageError(f"BPFCOMPAT_SLOW is {CHOSEN!r}: it is 1, all, or not set")


def pytest_collection_modifyitems(config, items):
    """Leave out what there is no time for."""
    left_out = [item for item in items if LEFT_OUT & {mark.name for mark in item.iter_markers()}]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


def pytest_report_header():
    hint = " (BPFCOMPAT_SLOW=1 runs the slow ones, BPFCOMPAT_SLOW=all also the long ones)" if LEFT_OUT else ""
    return f"left out: {' and '.join(sorted(LEFT_OUT, reverse=True)) or 'nothing'}{hint}"


@pytest.fixture(scope="session", autouse=True)
def told(request, tmp_path_factory):
    """Titles and texts that are printed at the end. Where a test failed, they have all runs that disagreed, too.

    On CI's machines nobody can look into their logs.
    """
    told = request.config.stash.setdefault(TOLD, [])
    yield told
    if request.session.testsfailed:
        told.extend(disagreements.below(tmp_path_factory.getbasetemp()))


def pytest_terminal_summary(terminalreporter, config):
    for title, text in config.stash.get(TOLD, []):
        terminalreporter.section(title)
        terminalreporter.write_line(text)
