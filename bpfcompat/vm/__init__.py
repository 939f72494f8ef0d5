"""A guest from its first instruction to its last: QEMU's options, its ports, boot images, and whether KVM works here.

In come a `Machine` (kernel, initramfs, disks, memory) and a job; out come an outcome and the logs of all ports. pexpect is
loaded only with `machine`, so import that where something boots.
"""

from bpfcompat.vm.accelerator import Accelerator
from bpfcompat.vm.arch import BOARDS, Board
from bpfcompat.vm.qemu import Machine

__all__ = ["BOARDS", "Accelerator", "Board", "Machine", "accelerator", "bootimage", "job", "machine"]
