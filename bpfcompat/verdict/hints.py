"""What stderr and the kernel's log say in libbpf's and the verifier's own words, said plainly. A hint decides nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator

from bpfcompat import architecture
from bpfcompat.model import Features
from bpfcompat.outcome import Record, Status
from bpfcompat.verdict import asked, bpf, loaders
from bpfcompat.verdict.loaders import functions_not_found

__all__ = ["functions_not_found", "needs_features", "of"]

_AT_MOST = 6
"""Names in one sentence: the oldest first, because what is not there at all is told by its release."""
_TOLD_BETTER = (loaders.CALLBACK_REFUSED, loaders.NOT_ATTACHED)
"""Refusals of which the loader's objects can tell what they are about."""
_NOT_FOUND = r"line \d+: ([^:\n]+): command not found"
_SYSTEM_CALL = r"\b__[a-z0-9]+_sys_\w+"
_NO_SPACE = r"No space left on device"
_NO_HEADERS = r"chdir\(/lib/modules/[^)\n]+/build\): No such file|Unable to find kernel headers"
_LOCKED = r"\blockdown=(integrity|confidentiality)\b"
_KERNEL_LOG = (
    (
        r"Lockdown: [^\n]*?: ([^\n;]+) is restricted",
        "The kernel is locked down, and refused this ({0}): see kernel_lockdown(7).",
    ),
)


def of(record: Record, features: Features | None = None) -> tuple[str, ...]:
    """Return what the evidence of a record that did not pass suggests, in one sentence each; often nothing.

    features: what its kernel offers, if that is known.
    """
    if record.verdict.status is Status.PASS:
        return ()
    stderr = record.outcome.stderr.tail
    if record.outcome.findings is not None:
        # The validator looked at the kernel itself, and what it found stands in the reason: no words are guessed at.
        from bpfcompat.verdict import findings

        return tuple(dict.fromkeys(findings.hints(record.outcome.findings)))
    found = [*_helpers(stderr), *asked.hints(record.outcome.asked, stderr, features)]
    named = bool(found)
    for text, rules in ((stderr, loaders.ALL), (record.outcome.kernel_log, _KERNEL_LOG)):
        for pattern, sentence in rules:
            if named and pattern in _TOLD_BETTER:
                continue
            if match := re.search(pattern, text, re.MULTILINE):
                found.append(sentence.format(*(part for part in match.groups() if part is not None)))
    guest = list(_of_the_guest(record))
    if any("locked down" in hint for hint in (*found, *guest)):
        found = [hint for hint in found if "programs of this type may not call" not in hint]  # that is not why
    found += guest
    if not found and re.search(loaders.OMITTED, stderr) and "processed " not in stderr:
        found = ["cilium/ebpf left out most of the verifier's words: print the error with %+v to see them here."]
    if features and needs_features(record):
        found += _lacking(stderr, features)
    return tuple(dict.fromkeys(found))


def _of_the_guest(record: Record) -> Iterator[str]:
    """Yield what is the guest's, or how the project set it up, and not the kernel's."""
    stderr, parts = record.outcome.stderr.tail, record.key_parts
    locked, refused = (
        re.search(_LOCKED, parts.get("kernel command line", "")),
        re.search(loaders.REFUSED_HELPER, stderr),
    )
    if locked and refused and int(refused[2]) in bpf.LOCKED[locked[1]]:
        yield f"The kernel is locked down by its command line ({locked[0]}), and therefore refuses {refused[1]}: see kernel_lockdown(7)."
    if short := re.search(loaders.OUT_OF_MEMORY, stderr):
        named, has = next((part for part in short.groups() if part), ""), parts.get("memory", 0)
        what = f"the map {named}" if named else "a map"
        yield (
            f"The guest has not enough memory for {what}: it has {has} MiB; write `memory: {max(1, has // 256)}G` or more in the"
            " profile, or make the map smaller."
        )
    own = next((one for one in architecture.ALL.values() if one.uname == parts.get("architecture")), None)
    for name in dict.fromkeys(re.findall(_SYSTEM_CALL, stderr) if own else ()):
        if own and (renamed := architecture.renamed(name, own)):
            yield f"{name} is of another architecture: on {own.name} it is {renamed}, and a ksyscall section finds either."
    if parts.get("accelerator") == "tcg" and re.search(loaders.NO_COUNTERS, stderr):
        yield (
            "An emulated machine has no hardware performance counters, whatever its kernel: if that is what perf_event_open asks"
            " for, count a software event, for instance PERF_COUNT_SW_CPU_CLOCK."
        )
    if re.search(_NO_HEADERS, stderr) and not parts.get("kernel headers"):
        yield (
            "The guest has no headers of its kernel, with which bcc compiles: write `headers: true` in the profile of an apt:"
            " kernel, or bring /lib/modules/RELEASE/build in guest.rootfs."
        )
    if re.search(_NO_SPACE, stderr) or record.outcome.out_of_memory is not None:
        has = parts.get("memory", 0)
        what = (
            "ran out of memory"
            if record.outcome.out_of_memory is not None
            else "has no room left: its files are in its memory"
        )
        yield f"The guest {what}, of which it has {has} MiB; write `memory: {max(1, has // 256)}G` or more in the profile."
    if (lacking := re.search(_NOT_FOUND, stderr)) and "sudo" not in lacking[1]:
        what = "The guest's root filesystem (guest.rootfs) has no" if parts.get("rootfs") else "The guest has no"
        yield f"{what} {lacking[1]}; ship it with `binary:`, `files:` or `guest: {{tools: [...]}}`."


def needs_features(record: Record) -> bool:
    """Tell whether what its kernel offers would add to a record's hints; where the validator looked, it has looked better."""
    if record.verdict.status is Status.PASS or record.outcome.findings is not None:
        return False
    return any(
        re.search(pattern, record.outcome.stderr.tail)
        for pattern in (loaders.MAP_REFUSED, loaders.NOT_ATTACHED, loaders.MEMLOCK)
    )


def _helpers(stderr: str) -> list[str]:
    numbers = (int(text) for text in re.findall(r"invalid func unknown#(\d{1,6})\b", stderr))
    return [
        "The program calls {}, which this kernel does not have; upstream has it since Linux {}.".format(
            *bpf.HELPERS[number]
        )
        if number in bpf.HELPERS
        else f"The program calls helper number {number}, which this kernel does not have."
        for number in dict.fromkeys(numbers)
        if number != bpf.POISONED_CALL
    ]


def _lacking(stderr: str, features: Features) -> Iterator[str]:
    """Yield what a kernel does not offer of what its refusal may be about."""
    missing = [
        bpf.named(bpf.MAP_TYPES, number, "type") for number in sorted(bpf.MAP_TYPES) if number not in features.map_types
    ]
    if missing and re.search(loaders.MAP_REFUSED, stderr):
        more = f" and {len(missing) - _AT_MOST} newer ones" if len(missing) > _AT_MOST else ""
        yield f"This kernel has no maps of the types {', '.join(missing[:_AT_MOST])}{more}."
    if re.search(loaders.MEMLOCK, stderr):
        yield (
            "This kernel charges BPF memory to RLIMIT_MEMLOCK (until Linux 5.11), which `limits: distribution` or the loader may have"
            " lowered: have the loader raise it."
            if features.charges_memlock
            else "This kernel does not charge BPF memory to RLIMIT_MEMLOCK (Linux 5.11 and newer): it refuses this for another reason."
        )
