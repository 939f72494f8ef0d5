"""Changes of files, as the kernel tells them."""

from __future__ import annotations

import queue
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType

from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer

_CHANGES = {"created", "modified", "moved", "deleted", "closed"}


class Changes(FileSystemEventHandler):
    """Waits for a change of one of several files and folders, whether they are there already or not. A context manager."""

    def __init__(self) -> None:
        """Nothing is watched yet."""
        self._paths: set[Path] = set()
        self._told: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._observer = Observer()

    def __enter__(self) -> Changes:
        self._observer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._observer.stop()
        self._observer.join()

    def watch(self, paths: Iterable[Path]) -> None:
        """Watch these paths from now on; of a folder, everything in it.

        paths: absolute.
        """
        self._paths |= set(paths)
        # A program that is built anew is another file of that name, so the folder is watched, not the file.
        for path in self._paths:
            if path.is_dir():
                self._observer.schedule(self, str(path), recursive=True)
            elif (there := next((parent for parent in path.parents if parent.is_dir()), None)) is not None:
                self._observer.schedule(self, str(there), recursive=False)

    def on_any_event(self, event: FileSystemEvent) -> None:
        """Take an event; called by a thread of watchdog's."""
        if event.is_directory and event.event_type == "modified":
            return  # something in it was made or removed, which is told by its own name
        if event.event_type in _CHANGES and any(map(self._concerns, (event.src_path, event.dest_path))):
            self._told.put(None)

    def _concerns(self, name: bytes | str) -> bool:
        changed = Path(name if isinstance(name, str) else name.decode(errors="surrogateescape"))
        return bool(str(name)) and any(
            changed == path or changed in path.parents or path in changed.parents for path in self._paths
        )

    def wait(self, quiet: float) -> None:
        """Return when something has changed since `watch`, and then nothing for a while.

        quiet: that while, in seconds.
        """
        self._told.get()
        while True:
            try:
                self._told.get(timeout=quiet)
            except queue.Empty:
                return
