"""A root file system with a stock worker in it, as a tar archive: `python worker_image.py FILE`, run by the Python of the worker's
environment. Everything keeps the path that it has on this machine; what `ldd` names comes along."""

import os
import subprocess
import sys
import sysconfig
import tarfile

PROGRAMS = ["sh", "echo", "sleep", "cat", "env", "true", "false", "touch", "test", "ls", "mkdir", "uname"]
LEFT_OUT = {
    "__pycache__", "test", "tests", "idlelib", "tkinter", "turtledemo", "ensurepip", "lib2to3", "site-packages", "pip", "dist-packages",
    "pydoc_data",
}
START = """#!/bin/sh
set -e
worker() {{ {python} {bin}/buildbot-worker "$@"; }}
worker create-worker --maxdelay=2 /worker "$BUILDMASTER:$BUILDMASTER_PORT" "$WORKERNAME" "$WORKERPASS"
exec {python} {bin}/buildbot-worker start --nodaemon /worker
"""


def libraries(path):
    ran = subprocess.run(["ldd", path], capture_output=True, text=True)
    for line in ran.stdout.splitlines():
        for word in line.split():
            if word.startswith("/"):
                yield word


def merged(tar):
    """`/lib` and its like, where they are links."""
    for name in ("lib", "lib64", "bin"):
        if os.path.islink("/" + name):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, os.readlink("/" + name)
            tar.addfile(info)


class Image:
    def __init__(self, tar):
        self.tar, self.seen = tar, set()

    def add(self, path, name=None):
        """A file under its own name, and where its links lead."""
        path = os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))
        name = name or path
        if name in self.seen:
            return
        self.seen.add(name)
        if os.path.islink(path):
            self.link(name, os.readlink(path))
            self.add(os.path.normpath(os.path.join(os.path.dirname(path), os.readlink(path))))
            return
        info = self.tar.gettarinfo(path, name.lstrip("/"))
        # Two names of one file would be a link to what may be left out.
        info.type, info.linkname, info.uid, info.gid, info.uname, info.gname = tarfile.REGTYPE, "", 0, 0, "root", "root"
        info.size = os.path.getsize(path)
        with open(path, "rb") as content:
            head = content.read(4)
            content.seek(0)
            self.tar.addfile(info, content)
        if head == b"\x7fELF":
            for library in libraries(path):
                self.add(library)
                self.add(os.path.realpath(library))

    def link(self, name, target):
        info = tarfile.TarInfo(name.lstrip("/"))
        info.type, info.linkname = tarfile.SYMTYPE, target
        self.tar.addfile(info)

    def tree(self, top, left_out):
        for folder, folders, files in os.walk(top):
            folders[:] = sorted(f for f in folders if f not in left_out and not f.startswith("config-"))
            for file in sorted(files):
                if not file.endswith((".pyc", ".a", ".exe")) and not file.startswith("_tkinter"):
                    self.add(os.path.join(folder, file))

    def text(self, name, text, mode=0o644):
        import io

        info = tarfile.TarInfo(name.lstrip("/"))
        info.mode, info.size = mode, len(text)
        self.tar.addfile(info, io.BytesIO(text.encode()))

    def folder(self, name, mode=0o755):
        info = tarfile.TarInfo(name.lstrip("/"))
        info.type, info.mode = tarfile.DIRTYPE, mode
        self.tar.addfile(info)


def which(program):
    for folder in ("/bin", "/usr/bin"):
        path = os.path.join(folder, program)
        if os.path.exists(path):
            return path
    sys.exit("there is no program '%s' in /bin or /usr/bin" % program)


def main(out):
    with tarfile.open(out, "w") as tar:
        merged(tar)
        image = Image(tar)
        for folder in ("tmp", "proc", "sys", "dev", "etc", "root"):
            image.folder(folder, 0o1777 if folder == "tmp" else 0o755)
        image.text("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n")
        image.text("etc/group", "root:x:0:\n")
        image.text("etc/nsswitch.conf", "hosts: files dns\n")
        for program in PROGRAMS:
            # In /bin whatever links this machine has there.
            path = os.path.realpath(which(program))
            image.add(path, os.path.join(os.path.realpath("/bin"), program))
        for library in ("libnss_files.so.2", "libnss_dns.so.2"):
            for folder in ("/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib64", "/usr/lib64"):
                if os.path.exists(os.path.join(folder, library)):
                    image.add(os.path.join(folder, library))
                    break
        image.add(os.path.abspath(sys.executable))
        image.add(os.path.realpath(sys.executable))
        for folder in sorted({sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib")}):
            if not folder.startswith(sys.prefix):
                image.tree(folder, LEFT_OUT)
        own = {"__pycache__", "test", "tests", "pip", "setuptools", "pkg_resources"}
        for folder in sorted({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}):
            image.tree(folder, own)
        image.add(os.path.join(sys.prefix, "pyvenv.cfg"))
        image.add(os.path.join(sys.prefix, "bin", "buildbot-worker"))
        image.text("start-worker", START.format(python=os.path.abspath(sys.executable), bin=os.path.join(sys.prefix, "bin")), 0o755)


main(sys.argv[1])
