"""A port of this machine that leads to a pod, through the API server.

Every TCP connection is forwarded anew to a pod that is ready at that moment, so the port stays
while pods come and go. One connection is one websocket: they do not hold each other up.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import urlencode, urlsplit, urlunsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus, WebSocketException
from websockets.typing import Subprotocol

from gomr_runtime.errors import EnvironmentFailed
from k8s.api.client import Api, Object
from k8s.api.refusals import refused
from k8s.pods.state import is_ready

if TYPE_CHECKING:
    from k8s.api.connection import Cluster

POD_SECONDS = 15.0  # that a new connection waits for a ready pod
LOOK_AGAIN = 0.25
OPEN_SECONDS = 10.0
BLOCK = 256 << 10  # bytes read from a socket at a time
PING_SECONDS = 10.0  # a node that is gone is noticed within twice as long
PROTOCOL = Subprotocol("v4.channel.k8s.io")
DATA, ERROR = 0, 1  # its channels
STOP_SECONDS = 5.0


class PortForward:
    """`127.0.0.1:port` leads to `pod_port` of a pod that `selector` matches.

    Use as a context manager. In a pod of the cluster there is nothing to forward: use the
    Service's address.
    """

    def __init__(
        self,
        cluster: Cluster,
        selector: str,
        pod_port: int,
        usable: Callable[[Object], bool] = is_ready,
    ) -> None:
        """usable: which pods may be connected to."""
        self._cluster = cluster
        self._forwarder = Forwarder(cluster.api, selector, pod_port, usable)
        self.port = 0

    def __enter__(self) -> PortForward:
        self.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def open(self) -> None:
        self.port = self._cluster.run(self._forwarder.listen())

    def close(self) -> None:
        """End every connection; safe to repeat."""
        self._cluster.run(self._forwarder.close())

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def trouble(self) -> EnvironmentFailed | None:
        """Why the last connection could not be forwarded; None when it was."""
        return self._forwarder.trouble


class Forwarder:
    """The listening socket and its connections, in the loop of the API's connection."""

    def __init__(
        self, api: Api, selector: str, pod_port: int, usable: Callable[[Object], bool]
    ) -> None:
        self._api = api
        self._usable = usable
        self._selector = selector
        self._pod_port = pod_port
        self._pod = ""  # the last that worked
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self.trouble: EnvironmentFailed | None = None

    async def listen(self) -> int:
        """The port of this machine."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, limit=BLOCK)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for task in self._connections:
            task.cancel()
        if self._connections:
            await asyncio.wait(self._connections, timeout=STOP_SECONDS)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            # Cancelled when we close; the server's callback must not end with it.
            with contextlib.suppress(asyncio.CancelledError):
                await self._forward(reader, writer)
        except EnvironmentFailed as error:
            self.trouble = error
        except (OSError, WebSocketException) as error:
            self._pod = ""
            self.trouble = EnvironmentFailed(f"port-forward to {self._selector}: {error}")
        finally:
            self._connections.discard(task)
            writer.close()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        socket = await self._open()
        try:
            self.trouble = None
            to_pod = asyncio.create_task(_send(reader, socket))
            from_pod = asyncio.create_task(_receive(socket, writer))
            both = {to_pod, from_pod}
            try:
                # Either end closing ends both: HTTP and gRPC never close half a connection.
                await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in both:
                    task.cancel()
                results = await asyncio.gather(*both, return_exceptions=True)
            for result in results:
                if isinstance(result, Exception):
                    raise result
        finally:
            with contextlib.suppress(OSError, WebSocketException):
                await socket.close()

    async def _open(self) -> ClientConnection:
        """A websocket to a ready pod; the pod of last time first, without asking."""
        deadline = time.monotonic() + POD_SECONDS
        while True:
            pod = self._pod or await self._find_pod(deadline)
            try:
                socket = await self._connect(pod)
            except (OSError, TimeoutError, WebSocketException) as error:
                self._pod = ""
                if isinstance(error, InvalidStatus):
                    self._check(error, pod)
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(LOOK_AGAIN)
                continue
            self._pod = pod
            return socket

    async def _find_pod(self, deadline: float) -> str:
        while True:
            pods = await self._api.select("Pod", self._selector)
            ready = [pod for pod in pods if self._usable(pod)]
            if ready:
                newest = max(ready, key=lambda pod: pod["metadata"]["creationTimestamp"])
                return str(newest["metadata"]["name"])
            if time.monotonic() > deadline:
                raise EnvironmentFailed(
                    f"no ready pod for {self._selector} in namespace {self._api.namespace} for "
                    f"{POD_SECONDS:.0f} s: kubectl get pods -l {self._selector}"
                )
            await asyncio.sleep(LOOK_AGAIN)

    async def _connect(self, pod: str) -> ClientConnection:
        access = self._api.access
        parts = urlsplit(access.server)
        scheme = "wss" if parts.scheme == "https" else "ws"
        path = f"{parts.path.rstrip('/')}/api/v1/namespaces/{self._api.namespace}/pods/{pod}"
        query = urlencode({"ports": self._pod_port})
        return await connect(
            urlunsplit((scheme, parts.netloc, f"{path}/portforward", query, "")),
            ssl=access.ssl if scheme == "wss" else None,
            server_hostname=access.server_name if scheme == "wss" else None,
            additional_headers=access.headers,
            subprotocols=[PROTOCOL],
            proxy=access.proxy or (None if access.direct else True),
            compression=None,
            max_size=None,
            max_queue=8,
            write_limit=4 * BLOCK,
            open_timeout=OPEN_SECONDS,
            ping_interval=PING_SECONDS,
            ping_timeout=PING_SECONDS,
            close_timeout=1.0,
        )

    def _check(self, error: InvalidStatus, pod: str) -> None:
        """Raise for an answer that will be the same next time."""
        status = error.response.status_code
        if status in {401, 403}:
            body = bytes(error.response.body or b"").decode(errors="replace")
            raise refused(
                status,
                body,
                verb="create",
                resource="pods/portforward",
                name=pod,
                cluster=self._api.cluster,
                namespace=self._api.namespace,
            ) from None


async def _send(reader: asyncio.StreamReader, socket: ClientConnection) -> None:
    while data := await reader.read(BLOCK):
        await socket.send(bytes((DATA,)) + data)


async def _receive(socket: ClientConnection, writer: asyncio.StreamWriter) -> None:
    greeted = set()
    async for message in socket:
        assert isinstance(message, bytes)
        channel = message[0]
        if channel not in greeted:  # the first message of a channel only says the port
            greeted.add(channel)
        elif channel == ERROR:
            raise OSError(message[1:].decode(errors="replace").strip())
        else:
            writer.write(memoryview(message)[1:])
            await writer.drain()
