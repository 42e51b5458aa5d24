"""Read and fit 10,000 fuzzed texts: no error but ours, and the slowest of them.

    python benchmarks/remix.py [COUNT]

Prints one line of JSON; exits with 1 where a text took longer than 50 ms of this thread's time, and
with a traceback where one raised what is not ours.
"""

from __future__ import annotations

import gc
import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.support.remix import fuzzed, read_and_fit

MOST_SECONDS = 0.05


def main(count: int) -> int:
    """Run them and say how long they took."""
    for text in fuzzed(200, seed=2):  # the engines' files load once
        read_and_fit(text)
    gc.collect()
    gc.freeze()  # else a text pays for a collection of all that was loaded
    took = []
    for text in fuzzed(count, seed=1):
        began = time.thread_time()
        read_and_fit(text)
        took.append((time.thread_time() - began, text))
    took.sort(key=lambda pair: pair[0])
    slowest, text = took[-1]
    median = took[len(took) // 2][0]
    told = {
        "texts": count,
        "median_ms": round(1000 * median, 2),
        "slowest_ms": round(1000 * slowest, 2),
        "slowest_text": text[:120],
    }
    print(json.dumps(told))
    return 0 if slowest <= MOST_SECONDS else 1


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000))
