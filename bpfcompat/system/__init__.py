"""Files, child processes, and what this machine has.

In come paths, bytes and commands; out come files that are written whole or not at all, digests, and children that die
with us. Nothing here knows of kernels, guests or verdicts. The modules are used by their names: `atomic.write(...)`.
"""

__all__ = ["atomic", "changes", "debian", "destination", "digest", "disk", "elf", "host", "processes", "scratch", "slots"]  # fmt: skip
