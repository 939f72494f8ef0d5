"""A guest looks like the machine that its kernel comes from, on every kernel."""

import shutil
import subprocess

import pytest

from bpfcompat.outcome import Status

from .conftest import KERNELS

LOOKS = {
    "the kernel's configuration": "grep -q ^CONFIG_BPF=y /boot/config-$(uname -r)",
    "nothing is hidden by busybox": (
        'for c in "timeout 5" env "xargs" "sh -c" "unshare -n" "nohup"; do'
        " case $c in 'sh -c') out=$($c 'ip -V' 2>&1);; xargs) out=$(echo -V | xargs ip 2>&1);; *) out=$($c ip -V 2>&1);; esac;"
        ' [[ $out = *iproute2* ]] || { echo "$c: $out"; exit 1; }; done'
    ),
    "timeout says 124": "timeout 0.2 sleep 5; [[ $? = 124 ]]",
    "etc": (
        "set -e; for f in os-release passwd group hosts nsswitch.conf protocols services machine-id; do test -s /etc/$f; done;"
        " test -e /etc/resolv.conf; grep -q ^tcpdump: /etc/passwd; grep -q '^www-data:' /etc/group; grep -q '^http\\b' /etc/services"
    ),
    "folders": "for d in /var/log /var/lib /home /opt /boot; do test -d $d || exit 1; done; [[ $(stat -c %a /) = 755 ]]",
    "limits": "[[ $(ulimit -Hn) = 524288 && $(ulimit -Sn) = 1024 ]] && ulimit -c unlimited",
    "hugetlbfs": "! grep -qw hugetlbfs /proc/filesystems || grep -q ' /dev/hugepages hugetlbfs ' /proc/mounts",
    "configfs": "! grep -qw configfs /proc/filesystems || grep -q ' /sys/kernel/config configfs ' /proc/mounts",
    "modprobe is kmod's": "modprobe --version | grep -q ^kmod && modprobe veth && ip link add v0 type veth peer name v1",
    "the modules' folder can be written to": (
        "d=/lib/modules/$(uname -r); mkdir $d/extra && cp $(modinfo -n dummy) $d/extra/ && depmod && test -s $d/modules.dep.bin"
        " && modprobe dummy"
    ),
    "a node loads its module": "modinfo tun >/dev/null 2>&1 || exit 0; test -c /dev/net/tun && ip tuntap add t0 mode tun",
    "programs": "ldd /usr/sbin/bpftool | grep -q libelf && script -qec 'echo x' /dev/null | grep -q x && free -m | grep -q ^Mem"
    " && dmesg --time-format iso | head -n 1 | grep -q T && test -n \"$(nohup echo y 2>/dev/null)\"",
}  # fmt: skip


@pytest.mark.slow
def test_every_kernel_looks_like_a_machine(verdicts):
    records = verdicts(*LOOKS.values(), kernels=KERNELS)
    failed = [
        f"{record.kernel['version']}: {list(LOOKS)[index % len(LOOKS)]}: {record.outcome.stdout.tail} {record.outcome.stderr.tail}"
        for index, record in enumerate(records)
        if record.verdict.status is not Status.PASS
    ]
    assert not failed


def test_an_extern_of_the_configuration(verdicts, tmp_path):
    """libbpf reads it from /boot; without that such a program fails on every kernel here, and loads on every real Debian."""
    (tmp_path / "x.bpf.c").write_text(
        "#include <linux/bpf.h>\n#include <bpf/bpf_helpers.h>\n"
        "extern unsigned long CONFIG_HZ __kconfig;\n"
        'char LICENSE[] SEC("license") = "GPL";\nunsigned long hz;\n'
        'SEC("raw_tp/sys_enter") int x(void *c) { hz = CONFIG_HZ; return 0; }\n'
    )
    machine = subprocess.run(["uname", "-m"], capture_output=True, text=True, check=True).stdout.strip()
    subprocess.run(
        ["clang", "-O2", "-g", "-target", "bpf", f"-I/usr/include/{machine}-linux-gnu", "-c", "x.bpf.c", "-o", "x.bpf.o"],
        cwd=tmp_path, check=True,
    )  # fmt: skip
    probe = "bpftool prog load $BPFCOMPAT_ARTIFACT /sys/fs/bpf/x"
    for record in verdicts(probe, kernels=KERNELS, artifact=tmp_path / "x.bpf.o"):
        assert record.verdict.status is Status.PASS, record.outcome.stderr.tail


def test_files_from_anywhere_go_anywhere(verdicts, tmp_path):
    outside = tmp_path.parent / f"{tmp_path.name}-outside"
    outside.mkdir()
    (outside / "data").mkdir()
    (outside / "data" / "deep").write_text("deep\n")
    (outside / "hosts").write_text("127.0.0.1 mine\n")
    placed = ((outside / "data", "/usr/lib/x86_64-linux-gnu/bpf"), (outside / "hosts", "/etc/hosts"))
    command = "cat /usr/lib/x86_64-linux-gnu/bpf/deep /etc/hosts && echo more >>/etc/hosts && touch /usr/lib/x86_64-linux-gnu/bpf/new"
    for record in verdicts(command, kernels=KERNELS, placed=placed):
        assert record.outcome.stdout.tail == "deep\n127.0.0.1 mine", record.outcome
        assert record.verdict.status is Status.PASS
    assert (outside / "hosts").read_text() == "127.0.0.1 mine\n"


def test_a_tool_that_is_a_script_without_its_interpreter_is_refused(verdicts, tmp_path):
    tool = tmp_path / "tool"
    tool.write_text("#!/usr/bin/python3\n")
    tool.chmod(0o755)
    (record,) = verdicts("tool", tools=(tool,))
    assert record.verdict.classification == "LOADER_NOT_RUNNABLE"
    assert "python3" in record.verdict.reason
    shutil.rmtree(tmp_path / ".bpfcompat")


def test_limits_as_a_distribution_has_them(verdicts):
    """systemd hands on what the kernel gives its first process: 64 KiB before 5.16 (9dcc38e2813e), then 8 MiB."""
    usual = {KERNELS[0]: "64", KERNELS[1]: "8192", KERNELS[2]: "8192"}
    for name in KERNELS:
        (generous,) = verdicts("ulimit -l", kernels=(name,))
        (distribution,) = verdicts("ulimit -l", kernels=(name,), machine={"limits": "distribution"})
        assert (generous.outcome.stdout.tail, distribution.outcome.stdout.tail) == ("unlimited", usual[name])
        assert generous.key != distribution.key
