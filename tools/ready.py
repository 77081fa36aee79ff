"""Make `.venv` hold exactly what this clone needs: called by every make target, by the system's own Python.

A second call costs a fraction of a second: a stamp in `.venv` remembers what was installed. Whatever is
missing (a newer Python, the network, room on the disk) is said in one line, and the next call goes on.
Python 3.6 can still read this file, in order to say that it is too old.
"""

import contextlib
import hashlib
import pathlib
import re
import shutil
import subprocess
import sys

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

ROOT = pathlib.Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
STAMP = VENV / ".ready"
NEEDED_GB = 2.5  # measured with torch's CPU build: 1.8 GB; pip's torch for Linux brings CUDA, several GB more
FULL = f"the disk is full; .venv needs about {NEEDED_GB} GB. Make room and run the same command again."


def stop(message):
    """End with one line that says what is missing and what to do."""
    sys.exit(f"lexviz: {message}")


def fingerprint():
    """What the environment depends on: the pins, this Python, and where this clone lies."""
    pins = (ROOT / "requirements.txt").read_bytes()
    return hashlib.sha256(b"\0".join([pins, sys.version.encode(), str(ROOT).encode()])).hexdigest()


@contextlib.contextmanager
def alone():
    """Wait until no other make sets `.venv` up; however a process ends, the system frees its lock."""
    with open(__file__, "rb") as file:
        try:
            if fcntl:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("lexviz: another make is setting up .venv; waiting for it ...", flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError:  # a file system without locks
            pass
        yield [file.fileno()] if fcntl else []


def create():
    """A fresh `.venv`; what an interrupted attempt or another Python left there goes first."""
    print(f"Creating .venv with Python {sys.version.split()[0]} ...", flush=True)
    result = subprocess.run([sys.executable, "-m", "venv", "--clear", str(VENV)], capture_output=True, text=True)
    if result.returncode:
        report(
            result.stdout + result.stderr,
            "Python could not create .venv (on Debian and Ubuntu: apt install python3-venv)",
        )


def pip(*arguments, packages=0, keep=()):
    """Run pip in `.venv`; the number of `packages` shows how far it is, its whole output is kept for `report`.

    It inherits the files `keep`: a pip that outlives a killed make still holds the lock.
    """
    command = [str(PYTHON), "-m", "pip", "--disable-pip-version-check", "install", *arguments]
    said, seen = [], 0
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", pass_fds=keep
    ) as process:
        for line in process.stdout:
            said.append(line)
            collecting = re.match(r"(?:Collecting|Processing) (?:\S*/)?(\S+)", line)  # where a wheel lies, or a name
            if packages and collecting:
                seen += 1
                of_all = f"/{packages}" if seen <= packages else ""  # torch for GPUs brings more than is pinned
                progress(f"  {seen}{of_all} {collecting[1][:45]}")
            elif packages and line.startswith("Installing collected packages"):
                progress("  unpacking all of them (a minute) ...")
    if packages:
        progress("")
    if process.returncode:
        errors = "".join(line for line in said if line.startswith("ERROR")) or said[-1]
        report("".join(said), f"pip could not install requirements.txt; it says:\n{errors.rstrip()}")


def progress(text):
    """Say how far it is: on a terminal in one line that changes, elsewhere in lines of their own."""
    if sys.stdout.isatty():
        print("\r" + text.ljust(60), end="" if text else "\r", flush=True)
    elif text:
        print(text, flush=True)


def report(errors, otherwise):
    """Name the usual culprits in one line; `otherwise` where it is none of them."""
    said = errors.lower()
    if "no space left" in said or shutil.disk_usage(ROOT).free < 100e6:
        stop(FULL)
    if "permission denied" in said or "read-only file system" in said:
        stop(f"cannot write to {ROOT}; clone the project to a folder of your own.")
    if "certificate_verify_failed" in said:
        stop(
            "the package index shows a certificate that is not trusted here. If your network has one of its own, "
            "name it: PIP_CERT=/path/to/it.pem make ..."
        )
    offline = ("name resolution", "newconnectionerror", "getaddrinfo", "network is unreachable", "proxyerror",
               "connecttimeout", "connection refused", "nodename nor servname", "failed to establish")  # fmt: skip
    if any(sign in said for sign in offline):
        stop("no package index could be reached. Connect to the network and run the same command again.")
    stop(otherwise)


def install(keep):
    """A fresh `.venv` with what requirements.txt pins, and lexviz itself, editable."""
    create()
    free = shutil.disk_usage(ROOT).free / 1e9
    if free < NEEDED_GB / 2:
        stop(FULL)
    if free < NEEDED_GB:
        print(f"lexviz: less than {NEEDED_GB} GB are free on this disk; going on.", flush=True)
    print("Installing the pinned requirements (some minutes the first time) ...", flush=True)
    pins = (ROOT / "requirements.txt").read_text()
    pip("--requirement", "requirements.txt", packages=len(re.findall(r"^\w", pins, re.MULTILINE)), keep=keep)
    pip("--no-deps", "--no-build-isolation", "--editable", ".", keep=keep)


def ready(wanted):
    """Whether `.venv` was made for exactly this, to its end."""
    return STAMP.exists() and STAMP.read_text() == wanted and PYTHON.exists()


def main():
    """Check this Python, then install unless the stamp says that it was done."""
    if sys.version_info < (3, 11):  # noqa: UP036 (the system's Python runs this, whatever its age)
        stop(
            f"Python 3.11 or newer is needed, this is {sys.version.split()[0]}. Install one (www.python.org has it), "
            "or name one that is there: make PYTHON=python3.12 ..."
        )
    wanted = fingerprint()
    if ready(wanted):
        return
    try:
        with alone() as keep:
            if not ready(wanted):  # the one that was waited for has done it
                install(keep)
                STAMP.write_text(wanted)
    except OSError as error:
        report(str(error), f"{error}")
    except KeyboardInterrupt:
        stop("interrupted; run the same command again to go on.")


if __name__ == "__main__":
    main()
