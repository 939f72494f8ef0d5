"""One switch for what is too slow for every change: BPFCOMPAT_SLOW=1, which CI sets, and =all, for which CI has no time."""

import os

import pytest

CHOICES = {"": {"slow", "long"}, "1": {"long"}, "all": set()}
CHOSEN = os.environ.get("BPFCOMPAT_SLOW", "")
LEFT_OUT = CHOICES.get(CHOSEN, set())


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
