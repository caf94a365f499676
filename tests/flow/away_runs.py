"""Flow runs in one process whose Prefect server goes at a step: `python -m tests.flow.away_runs
PORT < cases`, a line of JSON for each case and for what became of it."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.flow.api_proxy import UP, ApiProxy

STEPS = (
    *("validate", "start_store", "build_environment", "deploy", "wait_for_map"),
    *("wait_for_reduce", "collect", "report", "clean_up"),
)


@dataclasses.dataclass(frozen=True)
class Case:
    """A run, and when its server becomes what: from the beginning of a step on, each. patience: how
    many seconds the end of the run waits for a server that is away."""

    run: str
    turns: dict[str, str]
    worker: str = "worker.py"
    deployed: bool = False
    patience: float = 0.5  # nobody is to wait for most of these runs


def main(port: int) -> None:
    proxy = ApiProxy(port)
    os.environ["PREFECT_API_URL"] = proxy.api
    from flows.server import choose_server

    choose_server(os.environ, verbose=False)
    import flows.flow
    from tasks.engine import api

    api.REQUEST_SECONDS = 1.0
    turns: dict[str, str] = {}
    for name in STEPS:
        turn_before(vars(flows.flow), name, turns, proxy)
    for line in sys.stdin:
        case = Case(**json.loads(line))
        proxy.turn(UP)
        turns.clear()
        turns.update(case.turns)
        print(json.dumps(run(case)), flush=True)
    os._exit(0)  # threads of Prefect's may wait for what is gone


def turn_before(steps: dict[str, Any], name: str, turns: dict[str, str], proxy: ApiProxy) -> None:
    """Let the proxy take its turn whenever the step begins."""
    step: Callable[[object], object] = steps[name]

    def turned(argument: object) -> object:
        if name in turns:
            proxy.turn(turns[name])
        return step(argument)

    steps[name] = turned


def run(case: Case) -> dict[str, Any]:
    from flows.run import run_flow
    from gomr_runtime.errors import GomrError
    from gomr_runtime.options.declared import RunOptions
    from tasks.engine import bounds, outbox

    bounds.AWAY_SECONDS = bounds.DEPLOYED_SECONDS = outbox.AWAY_SECONDS = case.patience
    said: list[str] = []
    options = RunOptions(
        worker=case.worker,
        input=("text.txt",),
        run_id=case.run,
        workers=1,
        quiet=True,
        runtime="local",
    )
    os.environ.pop("PREFECT__FLOW_RUN_ID", None)
    if case.deployed:
        os.environ["PREFECT__FLOW_RUN_ID"] = case.run
    code, message = 0, ""
    try:
        run_flow(options, said.append)
    except GomrError as error:
        code, message = error.exit_code, str(error)
    parts = sorted(Path("outputs", case.run).glob("output-*"))
    output = "".join(part.read_text() for part in parts)
    done = Path("outputs", case.run, "_SUCCESS").exists()
    left = Path(".gomr", "runs", case.run).exists()
    return {
        "code": code, "message": message, "said": said, "output": output, "done": done, "left": left
    }  # fmt: skip


if __name__ == "__main__":
    main(int(sys.argv[1]))
