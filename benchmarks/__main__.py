"""Speed as ratios of two things measured in one process, in turns: machines differ and are noisy, ratios less so.

`python -m benchmarks` prints them all; `--record` also writes them to lexviz/runs, where the book's figures find them.
"""

import argparse
import datetime
import json
import pathlib
import platform
import statistics
import time

import torch

from benchmarks import attention, landmark, pages, positions, training

RUNS = pathlib.Path(__file__).resolve().parent.parent / "lexviz" / "runs"


def ratio(ours, theirs, rounds: int = 41) -> tuple[float, float]:
    """Median of (time of ours / time of theirs) over rounds in which they take turns, and the median time of ours."""

    def seconds(run):
        start = time.perf_counter()
        run()
        attention.synchronize()
        return time.perf_counter() - start

    for _ in range(3):
        ours(), theirs()
    pairs = [(seconds(ours), seconds(theirs)) for _ in range(rounds)]
    return statistics.median(a / b for a, b in pairs), statistics.median(a for a, _ in pairs)


def measure() -> dict:
    """Everything but the pages, printed as it comes."""
    torch.manual_seed(0)
    found = {"date": str(datetime.date.today()), "machine": machine(), "ratios": [], "growth": [], "costs": []}
    print(f"{'what':>34}  {'against':>28}  {'time ratio':>10}  {'own time':>12}")
    for module in (attention, positions, landmark, training):
        for what, against, ours, theirs in module.measurements():
            times, own = ratio(ours, theirs)
            print(f"{what:>34}  {against:>28}  {times:>10.3f}  {1e3 * own:>9.3f} ms")
            found["ratios"].append({"what": what, "against": against, "ratio": times, "seconds": own})
    with torch.no_grad():
        for length, times in attention.growth():
            print(f"block causal, {length} tokens: {times:.2f} of the cost per token at 1024")
            found["growth"].append({"length": length, "ratio": times})
        found["peak"] = {name: attention.peak(name) for name in ("ours", "dense")}
        print("peak memory, bytes:", found["peak"])
        for name, length, pairs, seconds in attention.costs():
            found["costs"].append({"name": name, "length": length, "pairs": pairs, "seconds": seconds})
        found["decoding"] = [
            {"name": name, "heads": heads, "head_dim": head_dim, "length": length, "seconds": seconds}
            for name, heads, head_dim, length, seconds in landmark.decoding_costs()
        ]
    return found


def machine() -> dict:
    """What the times belong to."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else platform.machine()
    return {
        "device": device,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "system": platform.system(),
    }


def main():
    """Print the table; with --record, keep it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--record", action="store_true", help="write the results to lexviz/runs")
    parser.add_argument("--no-pages", action="store_true", help="leave out the website's weights and latencies")
    arguments = parser.parse_args()
    found = measure()
    if arguments.record:
        kind = "cuda" if torch.cuda.is_available() else "cpu"
        (RUNS / f"benchmark-{kind}.json").write_text(json.dumps(found, indent=1) + "\n")
    if not arguments.no_pages:
        pages.main()


if __name__ == "__main__":
    main()
