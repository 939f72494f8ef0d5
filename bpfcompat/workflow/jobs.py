"""Project -> jobs, and the content key of each."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import Any

from bpfcompat import architecture
from bpfcompat.guest import LAYOUT, PROTOCOL
from bpfcompat.model import Check, Job, Kernel, Payload, Profile, Project
from bpfcompat.system import digest
from bpfcompat.vm import Machine

KEY_FORMAT = 5


def plan(project: Project) -> tuple[Job, ...]:
    """Return every check on every profile, in the order of the matrix."""
    several = len(project.checks) > 1
    checks = {
        profile.arch: [_of_arch(check, profile.arch) for check in project.checks] for profile in project.matrix.profiles
    }
    return tuple(
        Job(check, _as_required(profile, check), f"{profile.id}/{check.name}" if several else profile.id)
        for profile in project.matrix.profiles
        for check in checks[profile.arch]
    )


def _of_arch(check: Check, arch: str) -> Check:
    """Return a check as it is run in guests of an architecture, which may have a loader and an object of their own."""
    own: dict[str, Any] = {key: file for key, name, file in check.by_arch if name == architecture.of(arch).name}
    return replace(check, **own, arch=arch, by_arch=())


def _as_required(profile: Profile, check: Check) -> Profile:
    """Return a profile as it counts for a check, whose manifest may say which do."""
    return replace(profile, required=profile.id in check.required_profiles) if check.required_profiles else profile


def key_parts(
    job: Job,
    kernel: Kernel,
    kit: str,
    payload: Payload,
    machine: Machine,
    rootfs: str | None = None,
    limits: str = "generous",
) -> dict[str, Any]:
    """Return everything that shapes a job's verdict, by names that a user knows.

    kit: its identity. The initramfs and the disks are made of it, of the kernel, and of the way in which they are laid out.
    Not in it: times, paths and file names on this machine, time limits, the versions of this package and of QEMU.
    """
    return {
        "key format": KEY_FORMAT,
        "protocol": PROTOCOL,
        "kernel image": kernel.image_sha256,
        "kernel modules": kernel.modules_sha256,
        "kernel configuration": kernel.config_sha256,
        "kernel headers": kernel.headers_sha256,
        "kit": kit,
        "guest layout": LAYOUT,
        "rootfs": rootfs,
        "architecture": architecture.of(job.profile.arch).uname,
        "kernel command line": machine.kernel_command_line,
        "memory": machine.memory,
        "cpus": machine.cpus,
        "accelerator": machine.accelerator,
        "command": job.check.command,
        "modules": list(modules(job)),
        "limits": limits,
        "environment": dict(job.check.env),
        "payload": payload.digest,
        "binary": payload.binary.path if payload.binary else None,
        "artifact": payload.artifact.path if payload.artifact else None,
        "collected": [*job.check.collect, job.check.collect_limit] if job.check.collect else [],
        "expectation": asdict(job.check.expect),
        "ready": _ready(job.check),
        "validation": _as_json(asdict(job.check.validation)) if job.check.validation else None,
        **({"results": [job.check.results, job.check.results_path]} if job.check.results else {}),
    }


def _ready(check: Check) -> dict[str, Any] | None:
    return {key: value for key, value in asdict(check.ready).items() if key != "within"} if check.ready else None


def modules(job: Job) -> tuple[str, ...]:
    """Return the kernel modules that are loaded before a job's command, each once."""
    of_manifest = job.check.validation.guest_modules if job.check.validation else ()
    return tuple(dict.fromkeys([*job.check.guest_modules, *of_manifest, *job.profile.guest_modules]))


def _as_json(value: Any) -> Any:
    """Return a value as it comes back from a file, so that it can be compared with one that did."""
    return json.loads(json.dumps(value))


def key(parts: dict[str, Any]) -> str:
    """Return the content key, hex."""
    return digest.of_json(parts)
