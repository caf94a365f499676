"""The Docker engine under the test cluster: the one that runs, or one of our own.

Ours has folders of its own and addresses that nothing else uses, and is stopped with the cluster.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from pathlib import Path

import psutil

from tests.build_cache import BuildFailed, cache_folder, ended, locked, output
from tests.cluster.progress import say
from tests.cluster.support.built.go_programs import runc_wrapper
from tests.cluster.support.engine_remains import end_processes, remove
from tests.cluster.support.engine_traces import remember, undo

SOCKET = "unix:///var/run/docker.sock"
RUNTIME = "runc-here"  # runc behind our wrapper
# Addresses for documentation (TEST-NET-2), which no host of the world has. Not TEST-NET-3 and none
# of the private ranges: a machine may reach its package registries there, and a bridge would hide
# them. The cluster's own network is 198.51.100.64/26.
BRIDGE_ADDRESS = "198.51.100.1/26"
POOL = "198.51.100.128/25"
PACKAGES = {
    "docker": "docker.io",
    "dockerd": "docker.io",
    "debootstrap": "debootstrap",
    "iptables": "iptables",
}
_FOLDER = Path("/var/lib/gomr-engine")
_RUN = Path("/run/gomr-engine")
_PID = _RUN / "dockerd.pid"
_LOG = _RUN / "dockerd.log"
_CONFIG = _RUN / "daemon.json"
_BEFORE = _RUN / "before.json"
_SHARES = Path("/sys/fs/cgroup/cpu/docker/cpu.shares")  # cgroup v1
_ASK_SECONDS = 60.0
_START_SECONDS = 120.0
_STOP_SECONDS = 60.0
_SYS_RESOURCE = 24  # the bit of CAP_SYS_RESOURCE


def ensure_engine() -> None:
    """A running engine that can run privileged containers; BuildFailed says what it lacks."""
    install_packages()
    with locked(_made(cache_folder()) / "engine.lock"):
        if not answers():
            _start()
    if lacks_sys_resource() and RUNTIME not in _info()["Runtimes"]:
        raise BuildFailed(
            "this machine lacks CAP_SYS_RESOURCE and the Docker engine that runs has no runtime "
            f"named {RUNTIME} for that: stop it and run `make cluster` again, or name "
            f"{runc_wrapper()} as that runtime in /etc/docker/daemon.json and restart it"
        )


def stop_engine() -> list[str]:
    """Stops the engine that `ensure_engine` started, with all it holds; what is left, by name.

    Of one that was killed, it ends and removes what that left.
    """
    if not has_remains():
        return []
    pid = _our_pid()
    if pid is not None:
        _stop(pid)
    end_processes(_FOLDER, _RUN)
    for folder in (_FOLDER, _RUN / "exec"):
        remove(folder)
    # Rules and bridges are not ours to undo when an engine of somebody else runs meanwhile.
    left = [] if answers() else undo(_BEFORE)
    remove(_RUN)
    return left


def is_ours() -> bool:
    """Whether the engine that runs is one that `ensure_engine` started."""
    return _our_pid() is not None


def has_remains() -> bool:
    """Whether anything is there of an engine that `ensure_engine` started, running or not."""
    return _FOLDER.exists() or _RUN.exists()


def answers() -> bool:
    if shutil.which("docker") is None:
        return False
    command = ["docker", "version", "--format", "{{.Server.Version}}"]
    return ended(command, _ASK_SECONDS).returncode == 0


def weigh_containers() -> None:
    """Give those of our engine, on a busy machine, the share of twenty processes.

    By default all that run in any of them have together the share of one.
    """
    if is_ours() and _SHARES.exists():
        _SHARES.write_text(str(20 * 1024))


def runtime_options() -> list[str]:
    """What `docker run` needs here for a privileged container."""
    return ["--runtime", RUNTIME] if lacks_sys_resource() else []


def lacks_sys_resource() -> bool:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapBnd:"):
            return not int(line.split()[1], 16) >> _SYS_RESOURCE & 1
    return False


def install_packages() -> None:
    """What Debian has and this machine has not, by apt."""
    missing = {package for program, package in PACKAGES.items() if shutil.which(program) is None}
    if not missing:
        return
    if shutil.which("apt-get") is None:
        raise BuildFailed(f"needs {', '.join(missing)}: install them by your system's means")
    say(f"installing {', '.join(missing)}")
    extra = {"DEBIAN_FRONTEND": "noninteractive"}
    output(["apt-get", "update", "-qq"], 300, extra=extra)
    install = ["apt-get", "install", "-qq", "-y", "--no-install-recommends", *missing]
    output(install, 600, extra=extra)


def _start() -> None:
    """Start ours; what one that was killed has left is used again where that is possible."""
    earlier = has_remains()
    if earlier:
        say("cleaning up after an engine that was killed")
        end_processes(_FOLDER, _RUN)
        remove(_RUN / "exec")
        _PID.unlink(missing_ok=True)  # its number may be another program's by now
    try:
        _start_dockerd()
    except BuildFailed as error:
        if not earlier:
            raise
        say(f"removing what that engine left, since dockerd does not start on it: {error}")
        stop_engine()
        _start_dockerd()


def _start_dockerd() -> None:
    say("starting dockerd")
    for folder in (_FOLDER, _RUN):
        _made(folder)
    if not _BEFORE.exists():  # an engine that was killed had written it down
        remember(_BEFORE)
    settings = {
        "bip": BRIDGE_ADDRESS,
        "default-address-pools": [{"base": POOL, "size": 27}],
        "data-root": str(_FOLDER),
        "exec-root": str(_RUN / "exec"),
        "pidfile": str(_PID),
        "hosts": [SOCKET],
        "live-restore": False,
    }
    if lacks_sys_resource():
        # A copy: the engine may run for longer than the cache keeps what nobody asks for.
        path = shutil.copy2(runc_wrapper(), _FOLDER / RUNTIME)
        settings["runtimes"] = {RUNTIME: {"path": str(path)}}
    _CONFIG.write_text(json.dumps(settings, indent=1))
    pid = _in_background(["dockerd", "--config-file", str(_CONFIG)])
    deadline = time.monotonic() + _START_SECONDS
    while not answers():
        if not _lives(pid) or time.monotonic() > deadline:
            raise BuildFailed(f"dockerd did not start; its log: {_last_lines()}")
        time.sleep(0.1)


def _stop(pid: int) -> None:
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + _STOP_SECONDS
    while _our_pid() is not None:
        if time.monotonic() > deadline:
            say(f"dockerd did not stop, so it is killed; its log: {_last_lines()}")
            return
        time.sleep(0.1)


def _in_background(command: list[str]) -> int:
    """Its pid; no child of this process, which it outlives, and Ctrl-C is not for it."""
    script = 'exec setsid "$@" >>"$0" 2>&1 </dev/null & echo $!'
    return int(output(["sh", "-c", script, str(_LOG), *command], _ASK_SECONDS))


def _our_pid() -> int | None:
    """The pid of the engine that we started, if it runs."""
    try:
        pid = int(_PID.read_text())
    except (FileNotFoundError, ValueError):
        return None
    return pid if _is_dockerd(pid) else None


def _is_dockerd(pid: int) -> bool:
    """Whether ours runs: one that has ended and waits for its parent has no command line."""
    try:
        return os.fsencode(_CONFIG) in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (FileNotFoundError, ProcessLookupError):
        return False


def _lives(pid: int) -> bool:
    """Whether it has not ended. Its command line would not tell: that is empty, too, while the
    kernel still reads the program, which takes its time when it is not in memory."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _info() -> dict[str, dict[str, object]]:
    answer: dict[str, dict[str, object]] = json.loads(
        output(["docker", "info", "--format", "{{json .}}"], _ASK_SECONDS)
    )
    return answer


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _last_lines() -> str:
    return "\n".join(_LOG.read_text(errors="replace").splitlines()[-20:])
