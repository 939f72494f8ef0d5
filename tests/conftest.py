"""One switch for what is too slow for every change: BPFCOMPAT_SLOW=1, which CI sets."""

import os

import pytest

SLOW = bool(os.environ.get("BPFCOMPAT_SLOW"))


def pytest_collection_modifyitems(config, items):
    """Leave out slow tests, unless they are asked for."""
    slow = [item for item in items if item.get_closest_marker("slow")]
    if not SLOW and slow:
        config.hook.pytest_deselected(items=slow)
        items[:] = [item for item in items if item not in slow]


def pytest_report_header():
    return f"slow tests: {'run' if SLOW else 'left out (BPFCOMPAT_SLOW=1 runs them)'}"


@pytest.fixture(scope="session")
def slow():
    """Tell whether there is time for what is too slow for every change."""
    return SLOW
