"""The store of kernels."""

import os
import time


def test_kernels_that_were_not_booted_for_long_are_pruned(tmp_path, monkeypatch, capsys):
    from bpfcompat.cli import main

    monkeypatch.setenv("BPFCOMPAT_CACHE", str(tmp_path))
    for name, days in (("a" * 64, 40), ("b" * 64, 2)):
        folder = tmp_path / "kernels" / name
        folder.mkdir(parents=True)
        (folder / "kernel.json").write_text("{}")
        os.utime(folder / "kernel.json", (time.time() - days * 86400,) * 2)
    assert main(["cache", "prune", "--unused", "30"]) == 0
    assert "dropped 1 kernels" in capsys.readouterr().out
    assert [path.name for path in (tmp_path / "kernels").iterdir()] == ["b" * 64]
    assert main(["cache", "prune", "--unused", "0"]) == 1
