"""What a student needs: each notebook run from top to bottom in a process of its own, and JupyterLab with none open.

`python -m benchmarks.classroom` prints a table; `--record` also writes it to lexviz/runs, where Appendix D finds it.
Torch gets one thread, as on a hub where each student has one core; and threads that wait for each other on a busy
machine would count as work. So peak memory and seconds of processor time are hardly disturbed by what else the machine
does. Seconds by the clock are: its load stands beside them. For Linux and macOS; Windows has no such counters.
"""

import argparse
import datetime
import json
import multiprocessing
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

import nbclient
import nbformat

ROOT = pathlib.Path(__file__).resolve().parent.parent
RECORD = ROOT / "lexviz" / "runs" / "classroom.json"
PATIENCE = 120  # seconds until JupyterLab has to answer


def notebook(path: str):
    """Run a notebook as JupyterLab would, figures as widgets, and forget what it says."""
    cells = nbformat.read(path, as_version=4)
    nbclient.NotebookClient(cells, resources={"metadata": {"path": str(pathlib.Path(path).parent)}}).execute()


def lab(folder: str):
    """Start JupyterLab, wait until it answers, ask for its page, end it."""
    port = 18_000 + os.getpid() % 1000
    options = [
        f"--port={port}",
        "--no-browser",
        "--allow-root",
        "--IdentityProvider.token=",
        f"--notebook-dir={folder}",
    ]
    server = subprocess.Popen([sys.executable, "-m", "jupyterlab", *options], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/lab").read()
            break
        except urllib.error.URLError:
            if time.monotonic() > deadline or server.poll() is not None:
                raise RuntimeError(f"JupyterLab did not answer on port {port}") from None
            time.sleep(0.2)
    server.terminate()
    server.wait()


def alone(run, argument: str, pipe):
    """Do it, and tell what the processes that it started have used: the largest of them, and all their time."""
    import resource  # not on Windows

    os.environ["OMP_NUM_THREADS"] = "1"
    start = time.perf_counter()
    run(argument)
    seconds = time.perf_counter() - start
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    unit = 1 if sys.platform == "darwin" else 1024
    pipe.send({"memory": used.ru_maxrss * unit, "processor": used.ru_utime + used.ru_stime, "seconds": seconds})


def measured(run, argument: str) -> dict:
    """Peak memory in bytes, seconds of processor time and by the clock, of a fresh process that does it."""
    here, there = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.get_context("spawn").Process(target=alone, args=(run, argument, there))
    process.start()
    there.close()
    try:
        return here.recv()
    except EOFError:
        raise RuntimeError(f"{argument} failed; its own message is above") from None
    finally:
        process.join()


def main():
    """Print the table; with --record, keep it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.classroom", description=__doc__)
    parser.add_argument("--record", action="store_true", help="write the results to lexviz/runs")
    arguments = parser.parse_args()
    found = {"date": str(datetime.date.today()), "cores": os.cpu_count(), "load": os.getloadavg()[0], "rows": []}
    print(f"{'':>42}  peak memory  processor time  by the clock (load {found['load']:.1f}, {found['cores']} cores)")
    with tempfile.TemporaryDirectory() as folder:
        tasks = [("JupyterLab, nothing open", lab, folder)]
        tasks += [(path.stem, notebook, str(path)) for path in sorted((ROOT / "book").glob("*.ipynb"))]
        for name, run, argument in tasks:
            row = measured(run, argument)
            print(f"{name:>42}  {row['memory'] / 1e6:>8.0f} MB  {row['processor']:>12.1f} s  {row['seconds']:>10.1f} s")
            found["rows"].append({"name": name, **{key: round(value, 1) for key, value in row.items()}})
    if arguments.record:
        RECORD.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
