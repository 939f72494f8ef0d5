"""Kernels of vendors by name, `VENDOR:RELEASE[/FLAVOUR][=VERSION]`, out of the vendors' own signed repositories.

No vendor has code of its own: what is known of each stands in `table.json`, and a project can have rows of its own. A row is
of one of two kinds, for which there is a mechanism each: `apt` and `rpm-md`. `fetching` is a source like those in `sources/`.
"""

from bpfcompat.kernels.vendors import news, rows

__all__ = ["news", "rows"]


def described(name: str) -> dict[str, str]:
    """Return what there is to know of a row, by the columns of the table in docs/kernels.md."""
    row = rows.find(name)
    read = dict(row.read)
    known = {"btf": "BTF", "bpf_lsm": "BPF LSM", "fprobe": "kprobe.multi"}
    yes = [word for key, word in known.items() if read.get(key)]
    no = [word for key, word in known.items() if read.get(key) is False]
    modules = f"modules {read['modules']}" if "modules" in read else ""
    keys = [key.partition(":")[2].rpartition("/")[2] for key in row.key]
    signed = "index" if row.kind == "apt" else "index and packages" if row.metadata_signed else "packages"
    return {
        "kernel": f"`{name}`",
        "version": read.get("version", "newest"),
        "packages": " ".join(f"`{package}`" for package in row.packages),
        "signed": f"{signed}, by {', '.join(f'`{key}`' for key in keys)}{' (SHA-1)' if row.sha1 else ''}",
        "read of its configuration": ", ".join([*yes, *(f"no {word}" for word in no), *([modules] if modules else [])])
        or "-",
        "tried against the vendor's server": row.tried or "no",
    }
