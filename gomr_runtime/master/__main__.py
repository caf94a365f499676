"""`python -m gomr_runtime.master`: the process `gomr-master`."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

from setproctitle import setproctitle

from gomr_runtime.errors import EXIT_ENVIRONMENT, GomrError
from gomr_runtime.master.server import Arguments, serve
from gomr_runtime.model.layout import check_run_id
from gomr_runtime.system.lifeline import hide_from_user_code, keep_memory_together
from gomr_runtime.system.streams import open_streams, say_error
from gomr_runtime.system.unforeseen import is_limit, unforeseen


def parse(argv: list[str]) -> Arguments:
    parser = argparse.ArgumentParser("gomr-master")
    parser.add_argument("--run", required=True)
    parser.add_argument("--store", required=True)
    parser.add_argument("--listen", required=True)
    parser.add_argument("--token-file", type=Path, required=True, help="what clients show")
    parser.add_argument("--worker-token-file", type=Path, required=True, help="what workers show")
    parser.add_argument("--address-file", type=Path)
    parser.add_argument("--tls-cert", type=Path)
    parser.add_argument("--tls-key", type=Path)
    parser.add_argument("--lifeline", type=int, default=-1)
    parser.add_argument("--zero-when-over", action="store_true")
    found = parser.parse_args(argv)
    if (found.tls_cert is None) != (found.tls_key is None):
        parser.error("--tls-cert and --tls-key belong together")
    check_run_id(found.run)
    return Arguments(**vars(found))


def main() -> int:
    open_streams()
    setproctitle("gomr-master")
    hide_from_user_code()
    keep_memory_together()
    try:
        return asyncio.run(serve(parse(sys.argv[1:])))
    except GomrError as error:
        say_error("gomr-master", error)
        return error.exit_code
    except Exception as error:
        if not is_limit(error):
            raise
        say_error("gomr-master", unforeseen(error))
        return EXIT_ENVIRONMENT


if __name__ == "__main__":
    sys.exit(main())
