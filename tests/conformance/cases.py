"""How commands end, as data: one line a case. The suite runs each on the oldest and the newest kernel, warm and cold."""

import functools
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from bpfcompat import architecture
from bpfcompat.architecture import AMD64, Architecture
from bpfcompat.guest import PROTOCOL, initramfs, kit
from bpfcompat.guest.kit import build
from bpfcompat.model import Check, Expectation, Kernel
from bpfcompat.outcome import Classification, Record, Status
from bpfcompat.system import host

FAILED, PANIC, HANG, LOST = (
    Classification.COMMAND_VALIDATION_FAILURE, Classification.KERNEL_PANIC, Classification.COMMAND_TIMEOUT,
    Classification.GUEST_LOST,
)  # fmt: skip
_EXIT_0 = Expectation()


@dataclass(frozen=True)
class Case:
    name: str
    command: str
    exit: int | None = 0
    """None where the command never ends."""
    signal: str | None = None
    core: bool = False
    ends: Classification | None = None
    """How it ends, where it does not by itself."""
    out: str | None = None
    """All of stdout, stripped."""
    err: str | None = None
    sizes: tuple[int, int] | None = None
    """How much it wrote to stdout and stderr."""
    says: str = ""
    """A part of the reason."""
    files: dict[str, bytes] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)
    """C, of which static programs are made for the guest."""
    only: str = ""
    """The one architecture that it means anything on."""
    env: tuple[tuple[str, str], ...] = ()
    expect: Expectation = _EXIT_0
    passes: bool | None = None
    """Whether it passes, where that is not plain from its exit code."""
    timeout: float = 900.0
    """Seconds: of a case that ends by itself, no machine is so slow; of one that never does, its wait."""
    big: bool = False
    """Whether it moves or fills so much that it takes seconds under emulation."""

    @property
    def slow(self) -> bool:
        """Whether it is left out of `./dev test`: what never ends is waited for, and what kills its machine is run again."""
        return self.big or self.ends is not None

    def check(self, root: Path, guest: Architecture = AMD64) -> Check:
        """Return the check that runs this case, with its files written below `root`."""
        contents = {**self.files, **{name: compiled(source, guest) for name, source in self.sources.items()}}
        for name, content in contents.items():
            (root / self.name).mkdir(parents=True, exist_ok=True)
            (root / self.name / name).write_bytes(content)
        files = tuple(root / self.name / name for name in contents)
        return Check(
            self.command,
            self.name,
            files=files,
            root=root / self.name,
            env=self.env,
            expect=self.expect,
            timeout=self.timeout,
        )

    def problems(self, record: Record) -> list[str]:
        """Return in what a record is not what this case says."""
        verdict, outcome = record.verdict, record.outcome
        passes = self.passes if self.passes is not None else self.exit == 0 and self.ends is None
        wanted: dict[str, tuple[object, object]] = {
            "status": (Status.PASS if passes else Status.FAIL, verdict.status),
            "class": (None if passes else self.ends or FAILED, verdict.classification),
            "exit": (None if self.ends else self.exit, verdict.exit_code),
            "signal": (self.signal, verdict.signal),
            "core": (self.core, verdict.core_dumped),
        }
        if self.out is not None:
            wanted["stdout"] = (self.out, outcome.stdout.tail)
        if self.err is not None:
            wanted["stderr"] = (self.err, outcome.stderr.tail)
        if self.sizes is not None:
            wanted["bytes"] = (self.sizes, (outcome.stdout.total, outcome.stderr.total))
        found = [f"{what}: {is_!r}, not {should!r}" for what, (should, is_) in wanted.items() if should != is_]
        if self.says not in verdict.reason:
            found.append(f"reason: {verdict.reason!r} does not say {self.says!r}")
        return [f"{self.name}: {problem}" for problem in found]


_END = rf"BPFCOMPAT\t{PROTOCOL}\tEND\t0\t0\t1\t0\t0\t0\t0\t0\t0\t0\t1\t00000000\n"
# Debian's kernels have nothing that makes them oops on demand. QEMU's fw_cfg device can: root may use its ports, and it
# copies what it holds to any physical address, as here two bytes of the initramfs (an ud2) over a system call's code.
_OOPS = r"""
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/io.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define INITRD_DATA 0x12 /* docs/specs/fw_cfg in QEMU's source */
static uint64_t swapped(uint64_t value, int bytes) { return __builtin_bswap64(value) >> (64 - 8 * bytes); }

static unsigned long find(const char *path, const char *format, const char *name)
{
	char line[512], found[256] = "";
	unsigned long value = 0;
	FILE *file = fopen(path, "r");

	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, format, &value, found) == 2 && !strncmp(found, name, strlen(name)) && !found[strlen(name)])
			return value;
	return 0;
}

static void copy(uint32_t control, uint64_t target, uint32_t length)
{
	struct { uint32_t control, length; uint64_t address; } __attribute__((packed)) *request;
	uint64_t entry;
	FILE *pages = fopen("/proc/self/pagemap", "r");

	request = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_LOCKED | MAP_POPULATE, -1, 0);
	request->control = swapped(control, 4);
	request->length = swapped(length, 4);
	request->address = swapped(target, 8);
	fseek(pages, (long)((uintptr_t)request / 4096 * 8), SEEK_SET);
	if (fread(&entry, sizeof(entry), 1, pages) != 1)
		return;
	entry = (entry & ((1ull << 55) - 1)) * 4096;
	outl(swapped(entry >> 32, 4), 0x514);
	outl(swapped(entry & 0xffffffff, 4), 0x518);
}

int main(void)
{
	unsigned long text = find("/proc/kallsyms", "%lx %*c %255s", "_text"), code = 0;
	unsigned long victim = find("/proc/kallsyms", "%lx %*c %255s", "__x64_sys_sysfs");
	char line[256];
	FILE *map = fopen("/proc/iomem", "r");

	while (map && fgets(line, sizeof(line), map))
		if (strstr(line, "Kernel code"))
			sscanf(line, "%lx", &code);
	if (!text || !victim || !code || iopl(3) < 0)
		return 77;
	copy(8 | 4 | INITRD_DATA << 16, 0, OFFSET);     /* select, skip */
	copy(2, code + (victim - text), 2);             /* read */
	syscall(SYS_sysfs, 3);
	return 78;
}
"""
_HOG = """
#include <sched.h>
int main(void)
{
	struct sched_param most = { .sched_priority = 99 };

	sched_setscheduler(0, SCHED_FIFO, &most);
	for (;;)
		;
}
"""


@functools.cache
def compiled(source: str, guest: Architecture) -> bytes:
    """Return a static program."""
    compiler = "gcc" if guest is architecture.host() else str(build.compiler(host.cache_folder(), guest))
    with tempfile.TemporaryDirectory() as folder:
        command = [compiler, "-static", "-O2", "-o", f"{folder}/program", "-x", "c", "-"]
        subprocess.run(command, input=source.encode(), check=True)
        return Path(f"{folder}/program").read_bytes()


def oops() -> str:
    """Return the source of a program that makes its kernel oops; bash stands before all that differs between two kernels' archives."""
    own = kit.find(host.cache_folder(), architecture.host())
    assert own, "the kit is built by ./dev, and by every first run"
    archive = initramfs.pack(own, Kernel("", "", Path(), "", (), ""))
    return _OOPS.replace("OFFSET", str(archive.index(b"\x0f\x0b")))


# A bomb without bounds ends either way, which is FLAKY and no case.
_CGROUP = "echo +pids > /sys/fs/cgroup/cgroup.subtree_control && mkdir /sys/fs/cgroup/b && echo 60 > /sys/fs/cgroup/b/pids.max;"

CASES = [
    # exit codes
    Case("exit-0", "exit 0"),
    Case("exit-7", "exit 7", 7, says="exited 7 (expected 0)"),
    Case("exit-42-expected", "exit 42", 42, expect=Expectation(42), passes=True),
    Case("exit-0-unexpected", "exit 0", 0, expect=Expectation(42), passes=False),
    Case("exit-255", "exit 255", 255),
    Case("exit-256", "exit 256", 0),
    Case("exit-minus-1", "exit -1", 255),
    Case("not-executable", "/etc/passwd", 126),
    Case("directory", "/etc", 126),
    Case("unknown", "no-such-command", 127),
    Case("syntax-error", "if then", 2),
    Case("leading-dash", "-x", 127),
    # signals
    Case("sigkill", "kill -KILL $$", 137, "SIGKILL"),
    Case("sigsegv-core", "ulimit -c unlimited; kill -SEGV $$", 139, "SIGSEGV", core=True),
    Case("sigsegv", "ulimit -c 0; kill -SEGV $$", 139, "SIGSEGV"),
    Case("sigpipe", "kill -PIPE $$", 141, "SIGPIPE"),
    Case("sigterm", "kill -TERM $$", 143, "SIGTERM"),
    Case("sigrtmax", "kill -64 $$", 192, "SIGRTMAX"),
    Case("child-killed", "bash -c 'kill -KILL $$'; exit $?", 137),
    Case("sigkill-expected", "kill -KILL $$", 137, "SIGKILL", expect=Expectation(137), passes=True),
    Case("kill-init", "kill -KILL 1; echo $?; kill -TERM 1; exit 5", 5),
    Case("kill-all", "sleep 1000 & kill -KILL -1; exit 5", 5),
    # shells
    Case("one-byte", ":"),
    Case("200-lines", "\n".join(f"line_{n}=1" for n in range(199)) + "\ntest $line_198 = 1 && exit 9", 9),
    Case("crlf", "true\r\nexit 3\r\n", 2),
    Case("100-kb", "test ${#x} = 0 " + "#" * 100_000, big=True),
    Case("exec", "exec bash -c 'exit 5'", 5),
    Case("trap", "trap 'exit 9' EXIT; true", 9),
    Case("heredoc", "cat <<X\n$HOME `echo b`\nX\nexit 4", 4, out="/root b"),
    Case("errexit", "set -e; false; exit 0", 1),
    Case("pipefail", "set -o pipefail; false | true", 1),
    Case("quotes", "printf '%s\\n' \"a'b\" 'c\"d' '$(reboot)' \\`", out="a'b\nc\"d\n$(reboot)\n`"),
    Case(
        "environment",
        'test "$A" = \'b c\' && test "$B" = \'$(reboot)\' && test -z "$BPFCOMPAT_BIN$SSH_CLIENT$USER"',
        env=(("A", "b c"), ("B", "$(reboot)")),
    ),
    Case(
        "files",
        "cat ./-n '$(reboot)' && echo more >> ./-n && wc -c < ./-n",
        out="ab\n6",
        files={"-n": b"a", "$(reboot)": b"b\n"},
    ),
    Case("non-ascii", "cat ä*", out="ok", files={"äöü ☃": b"ok"}),
    Case("stdin-is-empty", 'read x; test $? = 1 && test -z "$x" && cat', sizes=(0, 0)),
    Case("no-terminal", "test ! -t 0 && test ! -t 1 && test ! -t 2 && ! echo x 2>/dev/null > /dev/tty"),
    # streams
    Case("apart", "echo out; echo err >&2; exit 3", 3, out="out", err="err"),
    Case("nothing", "true", sizes=(0, 0)),
    Case("binary", "head -c 100000 /dev/urandom; head -c 50000 /dev/urandom >&2", sizes=(100000, 50000)),
    Case("nuls", "head -c 70000 /dev/zero", sizes=(70000, 0)),
    Case("escapes", "printf '\\033]0;x\\007\\033[2J\\233\\377\\376'; exit 6", 6, sizes=(13, 0)),
    Case("flow-control", "printf '\\021\\023\\003\\004\\032x'", sizes=(6, 0)),
    Case("long-line", "head -c 10000000 /dev/zero | tr '\\0' x", sizes=(10_000_000, 0), big=True),
    Case("flood", "head -c 10000000 /dev/zero; exit 2", 2, sizes=(10_000_000, 0), big=True),
    Case(
        "flood-both",
        "head -c 5000000 /dev/zero >&2 & head -c 5000000 /dev/zero; wait; exit 2",
        2,
        sizes=(5_000_000, 5_000_000),
        big=True,
    ),
    Case("flood-without-end", "yes", None, ends=HANG, timeout=2),
    Case("flood-without-end-both", "yes >&2 & yes", None, ends=HANG, timeout=2),
    Case("closed-streams", "exec 1>&- 2>&-; exit 8", 8, sizes=(0, 0)),
    Case(
        "noise-on-the-console",
        'for i in $(seq 300); do echo "<1>$i BPFCOMPAT noise" > /dev/kmsg; done; seq 300 | md5sum',
        out="bf4fa7116e26846bba3502a134f9bcba  -",
    ),
    Case("matcher", "echo attached", expect=Expectation(stdout="^att")),
    Case("matcher-fails", "echo detached", expect=Expectation(stdout="^att"), passes=False, says="stdout"),
    Case(
        "matcher-forbids",
        "echo libbpf: failed >&2",
        expect=Expectation(not_stderr="failed"),
        passes=False,
        says="stderr",
    ),
    # what a command leaves behind
    Case("daemon", "setsid sleep 1000 > /dev/null 2>&1 < /dev/null & exit 4", 4),
    Case("daemon-holds-streams", "setsid sleep 1000 & echo started; exit 4", 4, out="started"),
    Case("daemon-ignores-signals", "(trap '' TERM INT HUP; sleep 1000; sleep 1000) & exit 4", 4),
    Case("writes-after-the-end", "(sleep 0.1; while :; do echo late; done) & exit 4", 4, out=""),
    # what ends otherwise
    Case("hang", "trap '' TERM INT; echo waiting; sleep 1000", None, ends=HANG, out="waiting", timeout=1),
    Case("busy", "while :; do :; done", None, ends=HANG, timeout=1),
    Case("stopped", "kill -STOP $$", None, ends=HANG, timeout=1),
    Case(
        "hang-of-the-processor",
        "echo -1 > /proc/sys/kernel/sched_rt_runtime_us; chmod +x hog; exec ./hog",
        None,
        ends=HANG,
        timeout=1,
        sources={"hog": _HOG},
    ),
    Case("halt", "halt -f", None, ends=HANG, timeout=2),
    Case("panic", "echo c > /proc/sysrq-trigger", None, ends=PANIC),
    Case("panic-without-reset", "echo 0 > /proc/sys/kernel/panic; echo c > /proc/sysrq-trigger", None, ends=PANIC),
    Case(
        "panic-with-words-before",
        "echo before; echo 'Kernel panic - not syncing' > /dev/kmsg; sleep 3; exit 3",
        3,
        out="before",
    ),
    Case(
        "oops",
        "chmod +x oops; ./oops; test $? -gt 128 && dmesg | grep -c 'Oops\\|invalid opcode' > /dev/null && exit 5",
        5,
        sources={"oops": oops()},
        only="amd64",
    ),
    Case(
        "oops-that-panics",
        "chmod +x oops; echo 1 > /proc/sys/kernel/panic_on_oops; ./oops",
        None,
        ends=PANIC,
        sources={"oops": oops()},
        only="amd64",
    ),
    Case("reboot", "reboot -f", None, ends=LOST),
    Case("poweroff", "poweroff -f", None, ends=LOST),
    Case("sysrq-reset", "echo b > /proc/sysrq-trigger", None, ends=LOST),
    # what runs out
    Case("memory", "exec tail /dev/zero", 137, "SIGKILL", says="ran out of memory", big=True),
    Case("memory-of-a-child", "tail /dev/zero; echo $?; exit 6", 6, out="137", says="ran out of memory", big=True),
    Case("disk", "dd if=/dev/zero of=full bs=1M count=2000 2>/dev/null; echo x > more; exit 6", 6, big=True),
    Case(
        "fork-bomb",
        f"{_CGROUP} (echo $BASHPID > /sys/fs/cgroup/b/cgroup.procs; b() {{ b | b & }}; b) 2>/dev/null; exit 3",
        3,
    ),
    Case(
        "descriptors",
        'ulimit -n 20; for i in $(seq 3 40); do eval "exec $i</dev/null" || break; done 2>/dev/null; exit 3',
        3,
    ),
    # forgery
    Case("forged-streams", f"printf '{_END}'; printf '{_END}' >&2; exit 42", 42),
    Case("forged-ports", f"for p in 0 1 2 3; do printf '{_END}' > /dev/ttyS$p; done; exit 42", 42),
    Case("forged-log", f"printf '{_END}' > /dev/kmsg; exit 42", 42),
    Case("ports-gone", "rm -f /dev/ttyS*; exit 42", 42),
    Case("ports-noisy", "head -c 100000 /dev/urandom > /dev/ttyS1; exit 42", 42),
    Case("own-terminal", "setsid -c bash -c 'exit 0' < /dev/ttyS1; exit 42", 42),
]
