"""What loaders print when something fails, by the library that they are built on, and what it means. Read for hints only.

The words are those of libbpf 0.4 to 1.7, of cilium/ebpf 0.9 to 0.22 (Go) and of aya 0.13 (Rust), read in their sources and in what
programs on them printed (tests/loaders/).
"""

from __future__ import annotations

import re

MAP_REFUSED = (
    r"map '([^'\n]+)': failed to create(?: map)?: (?:Invalid argument|-EINVAL|Operation not supported|-EOPNOTSUPP)|"
    r"map (\w+): map create: (?:invalid argument|operation not supported)|"
    r"failed to create map `([^`\n]+)` with code -?\d+(?:(?!\(os error )[\s\S]){0,200}\(os error (?:22|95|524)\)"
)
MEMLOCK = r"RLIMIT_MEMLOCK|MEMLOCK.*Operation not permitted|operation not permitted \(MEMLOCK may be too low"
CALLBACK_REFUSED = r"number of funcs in func_info doesn't match number of subprogs"
NOT_ATTACHED = r"prog '([^'\n]+)': failed to attach: (?:Operation not supported|-EOPNOTSUPP|Invalid argument|-EINVAL)"
OUT_OF_MEMORY = (
    r"map '([^'\n]+)': failed to create(?: map)?: (?:Cannot allocate memory|-ENOMEM)|"
    r"map (\w+): map create: cannot allocate memory|map create: cannot allocate memory|"
    r"failed to create map `([^`\n]+)` with code -?\d+(?:(?!\(os error )[\s\S]){0,200}\(os error 12\)"
)
REFUSED_HELPER = r"(?:unknown func|program of this type cannot use helper) (bpf_\w+)#(\d+)"
NO_COUNTERS = r"(?i)(?<!`)(?:perf_event_open|hardware counter)[^\n]*(?:No such file|No such device|not supported|ENOENT|EOPNOTSUPP)"
"""Not aya's own `perf_event_open`, which stands for kprobes, too."""
NO_FUNCTION = (
    r"failed to find kernel BTF type ID of '(\w+)'|extern \(func ksym\) '(\w+)': not found|"
    r"failed to create k(?:ret)?probe '(\w+)[^'\n]*' perf event: (?:No such file|-ENOENT)|"
    r"(?:kfunc|symbol) \"?(\w+)\"?: (?:kfunc )?(?:not found|not supported)|"
    r"\b(?:fentry|fexit|fmod_ret) (\w+) not supported|fallback for \"(\w+)\"\): token \w+: not found|Unknown BTF type `(\w+)`"
)
_NOT_IN_BTF = (
    "This kernel's BTF lists no function or type {0} that a program could attach to: it is in a module that is not loaded,"
    " renamed, inlined, or newer."
)
_NO_TRACEPOINT = "This kernel has no tracepoint {0}."
_NOT_PROBED = (
    "This kernel has no function {0} that a kprobe can be put on now: it is in a module that is not loaded, renamed, inlined,"
    " or not traceable."
)
_NO_KFUNC = "This kernel does not offer {0} to BPF programs (kfunc), or it is in a module that is not loaded."
_NO_BTF = "This kernel has no BTF of its own (CONFIG_DEBUG_INFO_BTF), which CO-RE, fentry and LSM programs need."
_NO_VARIABLE = "This kernel's BTF has no variable {0} (ksym); declare it __weak and look whether it is there."
_NO_CONFIGURATION = (
    "{0} found no configuration of the kernel in the guest (extern ... __kconfig): it did not come with this kernel."
)
_NO_FIELD = "A type or field that the program reads is not on this kernel; guard it with bpf_core_field_exists()."
_MAP_REFUSED = (
    "The kernel refuses to make the map {0}: its type or flags may be newer than this kernel, or its size may be unset."
)

_NOT_SET = "{0} is not in this kernel's configuration (extern ... __kconfig); declare it __weak to do without."
_NO_STRUCT_OPS = (
    "This kernel has no {0} that a BPF program could implement (struct_ops): it is older, or was built without it."
)
_NO_TARGET = (
    "The program replaces a function of another one (freplace), and the loader has not said which: that is the loader's, not the"
    " kernel's."
)
_NOT_VERIFIED = (
    "The kernel refuses the program before it verifies it: its type, its flags (xdp.frags: Linux 5.18) or the way to attach it may be"
    " newer than this kernel, or left out of its build. The same object without a loader (`artifact:` and no `command:`) says which."
)
_TOO_MANY = (
    "The kernel says ENOTSUPP (524): what the program is attached to may take more arguments than a trampoline carries, which is six"
    " before Linux 6.6 (eight on arm64); or this kernel has no trampolines to its functions at all, as arm64 before Linux 6.4, where a"
    " kprobe does instead of fentry, fexit, fmod_ret and LSM programs."
)
_OTHER_LIBRARY = (
    "{0}: the kernel was not asked. It is the loader's library that does not know this, so a newer one may."
)

VERIFIER = (
    (
        r"unknown func (bpf_override_return)#",
        "The program calls {0}, which needs CONFIG_BPF_KPROBE_OVERRIDE in the kernel's build, and a kprobe.",
    ),
    (
        r"unknown func (bpf_(?!override_return)\w+)#|program of this type cannot use helper (bpf_\w+)#",
        "On this kernel programs of this type may not call {0}.",
    ),
    (
        CALLBACK_REFUSED,
        "The program hands a function of its own to a helper, which Linux knows since 5.13, and of some helpers only later.",
    ),
    (
        r"BPF program is too large\. Processed \d+ insn|The sequence of \d+ jumps is too complex",
        "The verifier of this kernel gave up: the program is too complex for it, which newer ones may see otherwise.",
    ),
    (
        r"(\w+)\(\) is not modifiable|(\w+) is not sleepable",
        "{0} is not among the functions that programs may modify, or sleep in, on this kernel: CONFIG_FUNCTION_ERROR_INJECTION has the"
        " list made, and Linux 7.1 takes system calls without it.",
    ),
    (
        r"cannot call GPL-restricted function from non-GPL compatible program",
        "The program calls a helper that is for programs under the GPL, and its license section names another: no kernel takes that.",
    ),
    (
        r"Only [^\n]* programs can be sleepable",
        "This kernel has no sleepable programs of that kind (uprobes: Linux 6.0).",
    ),
    (r"Tracing programs must provide btf_id", _NO_TARGET),
    (
        r"(?:invalid|bad) CO-RE relocation|failed to resolve CO-RE relocation|relo #\d+: no matching targets found|"
        r"unknown#195896080\b",  # the call that libbpf and aya put in its place
        _NO_FIELD,
    ),
    (MAP_REFUSED, _MAP_REFUSED),
    (
        r"failed to attach: (?:(?:ERROR: strerror_r\()?-524|-ENOTSUPP)\b|\(os error 524\)|create raw tracepoint: not supported",
        _TOO_MANY,
    ),
    (
        r"prog '([^'\n]+)': BPF program load failed: (?:Invalid argument|-EINVAL)\nlibbpf: prog '[^'\n]+': failed to load|"
        r"load program: invalid argument$|Verifier output: \n\s*\n\s*Caused by:\n\s*Invalid argument",
        _NOT_VERIFIED,
    ),
    (r"/sys/kernel/(?:debug/)?tracing/events/([\w.-]+/[\w.-]+)/id[`\"]", _NO_TRACEPOINT),
)
"""What the kernel says, whoever prints it, and what several libraries say alike."""
LIBBPF = (
    (r"failed to find valid kernel BTF|kernel BTF is missing|[Ff]ailed to load vmlinux BTF", _NO_BTF),
    (r"failed to find kernel BTF type ID of '([^'\n]+)'", _NOT_IN_BTF),
    (r"failed to determine tracepoint '([^'\n]+)' perf event ID: (?:No such file|-ENOENT)", _NO_TRACEPOINT),
    (
        r"failed to create k(?:ret)?probe '([^'\n+]+)[^'\n]*' perf event: (?:No such file|-ENOENT|Invalid argument|-EINVAL)",
        _NOT_PROBED,
    ),
    (
        NOT_ATTACHED,
        "This kernel cannot attach the program {0} as asked: it is older than that way to attach, or was built without it.",
    ),
    (r"failed to open system Kconfig", _NO_CONFIGURATION.format("libbpf")),
    (r"extern '((?:CONFIG|LINUX)_\w+)' \(strong\): not resolved", _NOT_SET),
    (r"extern \(var ksym\) '([^'\n]+)': not found in kernel BTF", _NO_VARIABLE),
    (r"extern \(func ksym\) '([^'\n]+)': not found", _NO_KFUNC),
    (
        r"extern \(func ksym\) '([^'\n]+)': func_proto \[\d+\] incompatible",
        "{0} (kfunc) takes other arguments on this kernel than the object says.",
    ),
    (r"struct_ops init_kern: struct (?:bpf_struct_ops_)?(\w+) is not found in kernel BTF", _NO_STRUCT_OPS),
    (r"attach program FD is not set", _NO_TARGET),
    (
        r"missing BPF prog type, check ELF section name '([^'\n]+)'",
        _OTHER_LIBRARY.format("libbpf does not know the section {0}"),
    ),
)
CILIUM = (
    (r"no BTF found for kernel version", _NO_BTF),
    (
        r"(?:: |^)((?:map type )?[\w./-]+(?: [\w./-]+){0,3}) not supported \(requires >= v?([\d.]+)\)",
        "cilium/ebpf tried whether this kernel has {0}: it has not, and upstream has it since Linux {1}.",
    ),
    (
        r"\b(?:fentry|fexit|fmod_ret|raw_tp) (\w+) not supported(?! \()|\b(\w+) (?:LSM hook|iterator) not supported(?! \()",
        _NOT_IN_BTF,
    ),
    (r"reading trace event ID of ([^:\n]+): [^\n]*(?:no such file|file does not exist)", _NO_TRACEPOINT),
    (r"fallback for \"(\w+)\"\): token \w+: not found", _NOT_PROBED),
    (r"kfunc \"?(\w+)\"?: not supported", _NO_KFUNC),
    (r"kernel is missing symbol: ([\w,]+)", _NO_VARIABLE),
    (r"cannot find a kconfig file", _NO_CONFIGURATION.format("cilium/ebpf")),
    (r"config option \"(\w+)\" does not exist on this kernel", _NOT_SET),
    (r"struct_ops: \"(?:bpf_struct_ops_)?(\w+)\" doesn't exist in kernel", _NO_STRUCT_OPS),
    (
        r"expected (\w+) to be \*Void, not \*btf\.Var: not supported",
        _OTHER_LIBRARY.format("cilium/ebpf does not know typed variables of the kernel (ksym), as {0} is"),
    ),
)
OMITTED = r"\(\d+ line\(s\) omitted\)"
"""How cilium/ebpf ends an error that it prints with %v."""
AYA = (
    (r"error parsing /sys/kernel/btf/vmlinux|`?/sys/kernel/btf/vmlinux`?[^\n]*No such file", _NO_BTF),
    (r"Unknown BTF type `([^`\n]+)`", _NOT_IN_BTF),
    (r"invalid program section `([^`\n]+)`", _OTHER_LIBRARY.format("aya does not know the section {0}")),
    (
        r"Unable to determine the size of section `(\.kconfig|\.ksyms)`",
        _OTHER_LIBRARY.format(
            "aya does not know what the kernel is asked for by name ({0}: extern ... __kconfig, __ksym)"
        ),
    ),
    (
        r"`perf_event_open` failed",
        "aya could not open a perf event, and does not say for what: if it is for a kprobe, this kernel has no function of that name"
        " that one can be put on now (it is in a module that is not loaded, renamed, inlined, or not traceable); if it is for a"
        " hardware counter, the machine may have none.",
    ),
)
OTHERS = (
    (
        r"bpfcompat: (of the modules that the guest is to have [^\n]+)",
        "The command was not run: {0}; what did not come with a kernel is not there, and what is built in need not be named.",
    ),
    (
        r"sudo: (?:command )?not found",
        "Commands run as root in a guest: leave `sudo` out.",
    ),
)
ALL = (*VERIFIER, *LIBBPF, *CILIUM, *AYA, *OTHERS)


def functions_not_found(stderr: str) -> tuple[str, ...]:
    """Return the kernel's functions that a loader says it did not find."""
    found = [next(part for part in match.groups() if part) for match in re.finditer(NO_FUNCTION, stderr)]
    return tuple(dict.fromkeys(found))
