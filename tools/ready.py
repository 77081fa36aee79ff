"""Make `.venv` hold exactly what this clone needs: called by every make target, by the system's own Python.

A second call costs a fraction of a second: a stamp in `.venv` remembers what was installed. Whatever is
missing (a newer Python, the network, room on the disk) is said in one line, and the next call goes on.
"""

import hashlib
import pathlib
import re
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
STAMP = VENV / ".ready"
NEEDED_GB = 2.5  # measured with torch's CPU build: 1.8 GB; pip's torch for Linux brings CUDA, several GB more


def stop(message):
    """End with one line that says what is missing and what to do."""
    sys.exit(f"lexviz: {message}")


def fingerprint():
    """What the environment depends on: the pins, this Python, and where this clone lies."""
    pins = (ROOT / "requirements.txt").read_bytes()
    return hashlib.sha256(b"\0".join([pins, sys.version.encode(), str(ROOT).encode()])).hexdigest()


def create():
    """A fresh `.venv`; what an interrupted attempt or another Python left there goes first."""
    print(f"Creating .venv with Python {sys.version.split()[0]} ...", flush=True)
    result = subprocess.run([sys.executable, "-m", "venv", "--clear", str(VENV)], capture_output=True, text=True)
    if result.returncode:
        report(
            result.stdout + result.stderr,
            "Python could not create .venv (on Debian and Ubuntu: apt install python3-venv)",
        )


def pip(*arguments, packages=0):
    """Run pip in `.venv`; a line for each of `packages` shows how far it is, its whole output is kept for `report`."""
    command = [str(PYTHON), "-m", "pip", "--disable-pip-version-check", "install", *arguments]
    said, seen = [], 0
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    ) as process:
        for line in process.stdout:
            said.append(line)
            if packages and (found := re.match(r"Collecting (\S+)", line)):
                seen += 1
                print(f"  {seen}/{packages} {found[1]}", flush=True)
            elif line.startswith(("ERROR", "Installing collected packages")):
                print("  " + line.split(":")[0] + " ..." if line[0] == "I" else line.rstrip(), flush=True)
    if process.returncode:
        report("".join(said), "pip could not install requirements.txt; its own message is above")


def report(errors, otherwise):
    """Name the usual culprits in one line; `otherwise` where it is none of them."""
    said = errors.lower()
    if "no space left" in said or shutil.disk_usage(ROOT).free < 100e6:
        stop(f"the disk is full; .venv needs about {NEEDED_GB} GB. Make room and run the same command again.")
    if "permission denied" in said or "read-only file system" in said:
        stop(f"cannot write to {ROOT}; clone the project to a folder of your own.")
    offline = ("name resolution", "newconnectionerror", "getaddrinfo", "network is unreachable", "proxyerror",
               "connecttimeout", "connection refused", "nodename nor servname", "failed to establish")  # fmt: skip
    if any(sign in said for sign in offline):
        stop("no package index could be reached. Connect to the network and run the same command again.")
    stop(otherwise)


def main():
    """Check this Python, then install unless the stamp says that it was done."""
    if sys.version_info < (3, 11):  # noqa: UP036 (the system's Python runs this, whatever its age)
        stop(
            f"Python 3.11 or newer is needed, this is {sys.version.split()[0]}. "
            "Name another one: make PYTHON=python3.12 ..."
        )
    wanted = fingerprint()
    if STAMP.exists() and STAMP.read_text() == wanted and PYTHON.exists():
        return
    try:
        if shutil.disk_usage(ROOT).free < NEEDED_GB * 1e9:
            print(f"lexviz: less than {NEEDED_GB} GB are free on this disk; going on.", flush=True)
        create()
        print("Installing the pinned requirements (some minutes the first time) ...", flush=True)
        pins = (ROOT / "requirements.txt").read_text()
        pip("--requirement", "requirements.txt", packages=len(re.findall(r"^\w", pins, re.MULTILINE)))
        pip("--no-deps", "--no-build-isolation", "--editable", ".")
        STAMP.write_text(wanted)
    except OSError as error:
        report(str(error), f"{error}")
    except KeyboardInterrupt:
        stop("interrupted; run the same command again to go on.")


if __name__ == "__main__":
    main()
