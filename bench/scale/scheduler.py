"""What the scheduler's decisions cost by themselves: no messages, no store.

python -m bench.scale.scheduler MAPS REDUCES WORKERS      prints what it cost, as JSON
"""

from __future__ import annotations

import json
import resource
import sys
import time

from tests.simulation.test_scheduler_scale import drive


def main() -> None:
    maps, reduces, workers = map(int, sys.argv[1:])
    began = time.process_time()
    scheduler, events = drive(maps, reduces, workers)
    cpu = time.process_time() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    told = {"assigned": scheduler.state.attempts_made, "events": events, "cpu": cpu, "peak": peak}
    print(json.dumps(told))


if __name__ == "__main__":
    main()
