"""Run simulated seeds and tell every event: `python -m tests.simulation.replay SEED...`."""

from __future__ import annotations

import argparse
import sys

from tests.simulation.world import World


def main() -> int:
    """Print the plan, each event with its commands, and the digest; a defect is raised."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.replay", description=__doc__)
    parser.add_argument("seeds", type=int, nargs="+", metavar="SEED")
    parser.add_argument("--quiet", action="store_true", help="only how each seed ended")
    arguments = parser.parse_args()
    for seed in arguments.seeds:
        world = World(seed, say=None if arguments.quiet else print)
        if not arguments.quiet:
            print(world.plan)
        error = world.run()
        print(f"seed {seed}: {error!r} at {world.now:.3f} s, {world.events} events, {world.trace}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
