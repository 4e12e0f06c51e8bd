"""Write a base image as an image layout: this Python under /usr/local, the libraries that it needs, nothing else.

Official images have Python at the same place, and say so in their config. Nothing is fetched and nothing is run.

Usage: PYTHON make_base.py DIRECTORY
"""

import gzip
import hashlib
import io
import json
import os
import pathlib
import subprocess
import sys
import sysconfig
import tarfile

VERSION = "%d.%d" % sys.version_info[:2]
# Wheels may use these wherever they are installed (PEP 600), and glibc loads some by itself.
ALLOWED = ["gcc_s.so.1", "stdc++.so.6", "m.so.6", "dl.so.2", "rt.so.1", "pthread.so.0", "util.so.1", "resolv.so.2"]
ALLOWED += ["nss_files.so.2", "nss_dns.so.2"]
# What a code server never imports.
LEFT_OUT = {"test", "tests", "site-packages", "__pycache__", "idlelib", "tkinter", "ensurepip"}


def libraries(files):
    """Shared libraries that these files are linked with, with the loader, by their path."""
    found = set()
    for file in files:
        listed = subprocess.run(["ldd", file], capture_output=True, text=True, check=False).stdout
        for line in listed.splitlines():
            path = next((word for word in line.split() if word.startswith("/")), None)
            if path:
                found.add(path)
    [libc] = [path for path in found if path.endswith("/libc.so.6")]
    allowed = [os.path.join(os.path.dirname(libc), f"lib{name}") for name in ALLOWED]
    # Some are in another directory of the same system.
    allowed += [os.path.join("/usr", path.lstrip("/")) for path in allowed]
    names = {os.path.basename(path) for path in found}
    for path in allowed:
        if os.path.exists(path) and os.path.basename(path) not in names:
            names.add(os.path.basename(path))
            found.add(path)
    return sorted(found)


def python_files():
    """Files of this Python by their path in the image."""
    standard = pathlib.Path(sysconfig.get_path("stdlib"))
    files = {f"usr/local/bin/python{VERSION}": pathlib.Path(os.path.realpath(sys.executable))}
    for path in sorted(standard.rglob("*")):
        relative = path.relative_to(standard)
        if path.is_file() and not LEFT_OUT.intersection(relative.parts):
            files[f"usr/local/lib/python{VERSION}/{relative}"] = path
    return files


def main():
    directory = pathlib.Path(sys.argv[1])
    blobs = directory / "blobs" / "sha256"
    blobs.mkdir(parents=True, exist_ok=True)
    files = python_files()
    linked = [str(path) for name, path in files.items() if name.endswith(".so") or "/bin/" in name]
    machine = {"x86_64": "amd64", "aarch64": "arm64"}[os.uname().machine]
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for name, path in files.items():
            tar.add(path, name)
        for library in libraries(linked):
            tar.add(os.path.realpath(library), library.lstrip("/"))
        for name in ("tmp", "proc", "dev", "root"):
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o1777 if name == "tmp" else 0o755
            tar.addfile(entry)
        for name, text in {
            "etc/passwd": "root:x:0:0:root:/root:/bin/sh\n",
            "etc/nsswitch.conf": "hosts: files dns\n",
            "etc/hosts": "127.0.0.1 localhost\n",
        }.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(text)
            tar.addfile(entry, io.BytesIO(text.encode()))
    archive = archive.getvalue()

    def blob(kind, content):
        digest = hashlib.sha256(content).hexdigest()
        (blobs / digest).write_bytes(content)
        return {"mediaType": f"application/vnd.oci.image.{kind}", "digest": f"sha256:{digest}", "size": len(content)}

    layer = blob("layer.v1.tar+gzip", gzip.compress(archive, 1))
    config = {
        "architecture": machine,
        "os": "linux",
        "config": {
            "Env": ["PATH=/usr/local/bin:/usr/bin:/bin", f"PYTHON_VERSION={VERSION}.0", "LANG=C.UTF-8"],
            "Entrypoint": ["/not/to/be/run"],
        },
        "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(archive).hexdigest()]},
    }
    config = blob("config.v1+json", json.dumps(config).encode())
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": config,
        "layers": [layer],
    }
    manifest = blob("manifest.v1+json", json.dumps(manifest).encode())
    manifest["annotations"] = {"org.opencontainers.image.ref.name": "latest"}
    (directory / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    (directory / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [manifest]}))


if __name__ == "__main__":
    main()
