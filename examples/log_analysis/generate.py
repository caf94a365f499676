"""Write a web server's log as JSON lines to stdout: `python generate.py [LINES [SEED]]`."""

import json
import random
import sys

PATHS = ["/", "/cart", "/health", "/item/1", "/item/2", "/item/3", "/login", "/search"]


def main(lines: str = "10000", seed: str = "1") -> None:
    chance = random.Random(int(seed))  # noqa: S311  (no secret)
    for _ in range(int(lines)):
        entry = {
            "path": chance.choice(PATHS),
            "status": chance.choices([200, 304, 404, 500, 503], [80, 10, 6, 3, 1])[0],
            "bytes": chance.randrange(200, 50_000),
            "ms": round(chance.lognormvariate(3, 1)),
        }
        print(json.dumps(entry))


if __name__ == "__main__":
    main(*sys.argv[1:3])
