"""Unit tests boot nothing, and leave the user's cache alone."""

import pytest

from tests.parts import KIT


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    folder = tmp_path_factory.mktemp("cache")
    (folder / "kit").symlink_to(KIT.folder.parent)
    monkeypatch.setenv("BPFCOMPAT_CACHE", str(folder))
    return folder
