"""Unit tests boot nothing, and leave the user's cache alone."""

import pytest


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("BPFCOMPAT_CACHE", str(folder))
    return folder
