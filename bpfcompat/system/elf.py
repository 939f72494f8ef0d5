"""Reading ELF files that may be damaged."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, BinaryIO

from bpfcompat.errors import BpfcompatError


class DamagedElf(Exception):  # noqa: N818 - it describes the file
    """A file is not the ELF file that it claims to be."""


@contextlib.contextmanager
def opened(file: BinaryIO) -> Iterator[Any]:
    """Yield pyelftools' view of a file; raises DamagedElf for whatever its parsing runs into inside the block."""
    from elftools.elf.elffile import ELFFile

    try:
        yield ELFFile(file)
    except BpfcompatError:
        raise
    except Exception as error:  # pyelftools believes what it reads: a damaged header sends it anywhere (fuzzed, 0.32)
        raise DamagedElf(str(error) or type(error).__name__) from error
