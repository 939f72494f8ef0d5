"""Vendors' repositories of a small kernel, laid out and signed as theirs are, and served on this machine alone."""

import gzip
import hashlib
import http.server
import os
import shutil
import subprocess
import threading
from pathlib import Path

from .packages import rpm, tree_of


class Shop:
    """A server of a folder. What is under `pages` is answered with a web page, what is under `cut` with half of it."""

    def __init__(self, folder):
        self.folder, self.pages, self.cut, self.asked = folder, [], [], []
        shop = self

        class Handler(http.server.SimpleHTTPRequestHandler):
            def __init__(self, *arguments):
                super().__init__(*arguments, directory=str(folder))

            def do_GET(self):
                shop.asked.append(self.path)
                if any(part in self.path for part in shop.pages):
                    return self._say(b"<!DOCTYPE html><html>please log in</html>", 0)
                if any(part in self.path for part in shop.cut):
                    content = Path(self.translate_path(self.path)).read_bytes()
                    return self._say(content[: len(content) // 2], len(content) - len(content) // 2)
                return super().do_GET()

            def _say(self, content, missing):
                self.send_response(200)
                self.send_header("Content-Length", str(len(content) + missing))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *arguments):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self):
        self._server.shutdown()
        self._server.server_close()


def index(repository, keys, key, compression="gz"):
    """Make the index of a folder of RPM packages, signed if there is a key; compression: gz, or zst."""
    command = ["createrepo_c", "--quiet", "--no-database", "--simple-md-filenames", repository]
    subprocess.run(command, check=True, capture_output=True)
    if compression == "zst":
        _with_zstd(repository / "repodata")
    signature = repository / "repodata" / "repomd.xml.asc"
    signature.unlink(missing_ok=True)
    if key:
        keys.detached(key, repository / "repodata" / "repomd.xml")


def _with_zstd(folder):
    """Compress an index as Fedora does, which Debian 12's createrepo_c cannot."""
    listed = folder / "repomd.xml"
    text = listed.read_text()
    for packed in folder.glob("*.xml.gz"):
        content = gzip.decompress(packed.read_bytes())
        made = subprocess.run(["zstd", "-q", "-c"], input=content, check=True, capture_output=True).stdout
        before = hashlib.sha256(packed.read_bytes()).hexdigest(), packed.stat().st_size
        text = text.replace(before[0], hashlib.sha256(made).hexdigest())
        text = text.replace(f"<size>{before[1]}</size>", f"<size>{len(made)}</size>")
        packed.unlink()
        packed.with_suffix(".zst").write_bytes(made)
    listed.write_text(text.replace(".xml.gz", ".xml.zst"))


def compressed(folder, modules, suffix):
    """Return modules as a vendor has them: plain, .xz or .zst; name -> file."""
    folder.mkdir(parents=True, exist_ok=True)
    found = {}
    for path in modules:
        copy = folder / path.name
        shutil.copy(path, copy)
        if suffix == "xz":
            subprocess.run(["xz", "-0", "--check=crc32", copy], check=True)
        if suffix == "zst":
            subprocess.run(["zstd", "-q", "-1", "--rm", copy], check=True)
        found[copy.name + (f".{suffix}" if suffix else "")] = copy.with_name(
            copy.name + (f".{suffix}" if suffix else "")
        )
    return found


def deb(folder, name, version, tree, depends="", kind="main"):
    """Make a Debian package in a folder."""
    (tree / "DEBIAN").mkdir(parents=True)
    (tree / "DEBIAN").chmod(0o755)
    (tree / "DEBIAN" / "control").write_text(
        f"Package: {name}\nVersion: {version}\nArchitecture: amd64\nMaintainer: n <n@example.org>\n"
        + (f"Depends: {depends}\n" if depends else "")
        + "Description: x\n"
    )
    package = folder / f"{name}_{version}_amd64.deb"
    subprocess.run(["dpkg-deb", "-Zgzip", "-z1", "-b", tree, package], check=True, capture_output=True)
    return package


def ubuntu_suite(root, suite, keys, key, pool="pool"):
    """Write the signed index of a suite of an archive: of what is in `pool`, or of nothing."""
    folder = root / "dists" / suite
    (folder / "main" / "binary-amd64").mkdir(parents=True, exist_ok=True)
    packages = b""
    if pool:
        packages = subprocess.run(
            ["apt-ftparchive", "packages", pool], cwd=root, check=True, capture_output=True
        ).stdout
    (folder / "main" / "binary-amd64" / "Packages").write_bytes(packages)
    (folder / "main" / "binary-amd64" / "Packages.gz").write_bytes(gzip.compress(packages))
    (folder / "InRelease").unlink(missing_ok=True)
    settings = {"Suite": suite, "Codename": suite, "Components": "main", "Architectures": "amd64", "Origin": "Ubuntu"}
    options = [part for name, value in settings.items() for part in ("-o", f"APT::FTPArchive::Release::{name}={value}")]
    said = subprocess.run(["apt-ftparchive", *options, "release", folder], check=True, capture_output=True).stdout
    (folder / "Release").write_bytes(said)
    keys.clear(key, folder / "Release", folder / "InRelease")
    (folder / "Release").unlink()


def ubuntu(root, kernel, work, abi="6.1.0-52", version="6.1.0-52.53", modules=""):
    """Make Ubuntu's packages of a kernel: the image alone, its modules with the configuration, and the metas."""
    pool = root / "pool" / "main" / "l" / "linux"
    pool.mkdir(parents=True, exist_ok=True)
    name = f"{abi}-generic"
    drivers = compressed(work / "m", kernel.modules, modules)
    deb(
        pool,
        f"linux-image-{name}",
        version,
        tree_of(work / "1", {f"boot/vmlinuz-{name}": kernel.image}),
        f"linux-modules-{name}",
    )
    tree = {f"lib/modules/{name}/kernel/{file}": path for file, path in drivers.items()}
    deb(pool, f"linux-modules-{name}", version, tree_of(work / "2", {**tree, f"boot/config-{name}": kernel.config}))
    # Random, so that it does not become smaller than what only depends on others.
    extra = {f"lib/modules/{name}/kernel/extra.ko": kernel.modules[-1], f"boot/System.map-{name}": os.urandom(100_000)}
    deb(pool, f"linux-modules-extra-{name}", version, tree_of(work / "3", extra), f"linux-image-{name}")
    deb(pool, "linux-image-virtual", version, work / "4", f"linux-image-{name}")
    generic = f"linux-image-{name}, linux-modules-extra-{name}, linux-firmware"
    deb(pool, "linux-image-generic", version, work / "5", generic)


def layout(kernel, work, kind):
    """Return the packages of a vendor as file trees: name -> path -> content."""
    release = f"{kernel.release}.{kind}"
    suffix = {"rhel": "xz", "fedora": "zst", "opensuse": "zst", "amazon": "", "uek7": "xz"}[kind]
    drivers = compressed(work / f"modules-{suffix}-{kind}", kernel.modules, suffix)
    modules = f"{'usr/' if kind == 'opensuse' else ''}lib/modules/{release}"
    core = {f"{modules}/vmlinuz": kernel.image, f"{modules}/config": kernel.config}
    files = {f"{modules}/kernel/{name}": path for name, path in drivers.items()}
    if kind in ("rhel", "fedora"):
        (more,) = compressed(work / f"more-{kind}", kernel.modules[:1], suffix).items()
        return {
            "kernel-core": core,
            "kernel-modules-core": files,
            "kernel-modules": {f"{modules}/kernel/more/{more[0]}": more[1]},
        }
    if kind == "uek7":
        return {"kernel-uek-core": core, "kernel-uek-modules": files}
    return {{"amazon": "kernel", "opensuse": "kernel-default"}[kind]: {**core, **files}}


def rpm_md(folder, kernel, work, keys, kind, version="6.1.0-1", key="vendor", index_key="vendor"):
    """Make a vendor's repository of a kernel; the packages and the index are each signed if there is a key."""
    folder.mkdir(parents=True, exist_ok=True)
    payload = {"fedora": "w1.zstdio"}.get(kind, "w1.gzdio")
    made = []
    for name, files in layout(kernel, work, kind).items():
        made.append(rpm(work, name, tree_of(work / f"{name}-{version}-{kind}", files), version, payload))
    if key:
        keys.sign(key, *made)
    for package in made:
        package.rename(folder / package.name)
    index(folder, keys, index_key, "zst" if kind == "fedora" else "gz")
