"""Runs one command as in a container: a root of its own, where only the system and what is mounted can be seen.

A program of the standard library alone, started in a mount namespace of its own (`unshare --mount`) with one argument,
JSON: "root" (an empty folder), "mounts" ([[what, where], ...]), "folder" (to start in), "command", "environment".
"""

import json
import os
import subprocess
import sys

SYSTEM = ("bin", "dev", "etc", "lib", "lib32", "lib64", "libx32", "proc", "run", "sbin", "sys", "usr")


def main(told: dict) -> None:
    """Lays out the root and becomes the command."""
    root = told["root"]
    _mount("-t", "tmpfs", "tmpfs", root)
    for name in SYSTEM:
        path = f"/{name}"
        if os.path.islink(path):
            os.symlink(os.readlink(path), f"{root}{path}")
        elif os.path.isdir(path):
            os.mkdir(f"{root}{path}")
            _mount("--rbind", path, f"{root}{path}")
    for what, where in sorted(told["mounts"], key=lambda mount: mount[1]):  # a folder before those below it
        os.makedirs(f"{root}{where}", exist_ok=True)
        _mount("--rbind", what, f"{root}{where}")
    os.chroot(root)
    os.chdir(told["folder"])
    os.execvpe(told["command"][0], told["command"], told["environment"])


def _mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
