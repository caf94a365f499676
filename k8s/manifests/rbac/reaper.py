"""Deletes with force the pods of runs that their node should have ended long ago.

A node that never comes back ends none, and Kubernetes waits for it. A client that watches its run
does this by itself. Runs in a pod of CronJob `gomr-reaper`, with the standard library alone.
"""

from __future__ import annotations

import json
import os
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from datetime import datetime
from pathlib import Path
from typing import Any

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
OF_RUNS = "app.kubernetes.io/part-of=gomr,gomr/run"
REQUEST_SECONDS = 20.0


def overdue(pods: list[dict[str, Any]], now: float, patience: float) -> list[dict[str, Any]]:
    """The metadata of those that should have ended `patience` seconds before `now`, or earlier."""
    going = (pod["metadata"] for pod in pods if "deletionTimestamp" in pod["metadata"])
    return [one for one in going if now - _seconds(one["deletionTimestamp"]) > patience]


def _seconds(when: str) -> float:
    return datetime.fromisoformat(when).timestamp()


def main() -> None:
    namespace = (ACCOUNT / "namespace").read_text()
    pods = f"https://kubernetes.default.svc/api/v1/namespaces/{namespace}/pods"
    query = urllib.parse.urlencode({"labelSelector": OF_RUNS})
    found = _asked("GET", f"{pods}?{query}")["items"]
    for one in overdue(found, time.time(), float(os.environ["GOMR_REAPER_PATIENCE"])):
        print(f"delete with force {one['name']}, which was to end at {one['deletionTimestamp']}")  # noqa: T201
        exactly = {"preconditions": {"uid": one["uid"]}, "gracePeriodSeconds": 0}
        try:
            _asked("DELETE", f"{pods}/{one['name']}", exactly)
        except urllib.error.HTTPError as error:
            with error:
                if error.code not in {404, 409}:  # it has gone meanwhile
                    raise


def _asked(method: str, url: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    request = urllib.request.Request(  # noqa: S310 (https, see above)
        url,
        None if body is None else json.dumps(body).encode(),
        {
            "Authorization": f"Bearer {(ACCOUNT / 'token').read_text()}",
            "Content-Type": "application/json",
        },
        method=method,
    )
    trusted = ssl.create_default_context(cafile=str(ACCOUNT / "ca.crt"))
    with urllib.request.urlopen(request, timeout=REQUEST_SECONDS, context=trusted) as answer:  # noqa: S310
        said: dict[str, Any] = json.load(answer)
        return said


if __name__ == "__main__":
    main()
