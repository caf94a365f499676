"""The client's side of a run: watch it, cancel it, learn how it ended."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from gomr_runtime._pb import run_pb2 as pb
from gomr_runtime._pb import run_pb2_grpc as services
from gomr_runtime.errors import EnvironmentFailed, GomrError
from gomr_runtime.model.errors_of import summary_of
from gomr_runtime.model.summary import Summary
from gomr_runtime.rpc import connection
from gomr_runtime.system.unforeseen import unforeseen

PATIENCE = 120.0  # seconds without any master before `watch` gives up
PAUSE = 0.05  # seconds before a call that a master broke off is made again
STOP_SECONDS = 5.0  # for the thread of `forward` to notice that it is over

FINAL = {
    grpc.StatusCode.UNAUTHENTICATED: "the master does not accept this run's token",
    grpc.StatusCode.NOT_FOUND: "the master works on another run",
    grpc.StatusCode.UNIMPLEMENTED: "what answers at the master's address is no gomr-master",
}


class RunClient:
    """One run's master at `address`; every call has a deadline. Close it, or use `with`."""

    def __init__(
        self,
        address: str,
        token: str,
        run: str,
        patience: float = PATIENCE,
        trust: connection.Trust | None = None,
    ) -> None:
        """patience: seconds that `watch` waits for a master that does not answer. trust: needed
        where the master is on another machine."""
        self.run = run
        self._patience = patience
        self._address = address
        self._metadata = connection.bearer(token)
        if trust is None:
            self._channel = grpc.insecure_channel(address, options=connection.CLIENT_OPTIONS)
        else:
            self._channel = grpc.secure_channel(address, trust.credentials(), trust.options())
        self._stub = services.RunStub(self._channel)  # type: ignore[no-untyped-call]
        self._health = health_pb2_grpc.HealthStub(self._channel)
        self._closed = False
        self._forwarding: threading.Thread | None = None

    def __enter__(self) -> RunClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends a `watch` in another thread, too."""
        self._closed = True
        self._channel.close()
        if self._forwarding is not None:
            self._forwarding.join(STOP_SECONDS)

    def forward(self, put: Callable[[pb.WatchEvent | GomrError], None]) -> None:
        """`watch` in a thread of its own: `put` gets each event, and the error that ends it.

        Whoever waits for a person's Ctrl-C waits on a queue then, and not inside gRPC, which now
        and then loses the KeyboardInterrupt that reaches it.
        """
        self._forwarding = threading.Thread(
            target=self._forward, args=(put,), name="watch", daemon=True
        )
        self._forwarding.start()

    def watch(self, after: int = 0) -> Iterator[pb.WatchEvent]:
        """Every event numbered above `after`, the summary last, over any number of masters.

        Raises EnvironmentFailed when no master answers for `patience` seconds or the master
        refuses; a master that comes back continues after the last event.
        """
        heard = time.monotonic()
        cause = "it never answered"
        while not self._closed:
            try:
                self._wait_ready(heard + self._patience - time.monotonic())
                for event in self._events(after):
                    heard = time.monotonic()
                    after = event.sequence
                    yield event
                    if event.WhichOneof("body") == "summary":
                        return
            except grpc.RpcError as error:
                self._judge(error)
                cause = error.details() or error.code().name
                time.sleep(PAUSE)
            except TimeoutError:
                heard = float("-inf")
            except ValueError:  # the channel was closed under us
                return
            if time.monotonic() - heard > self._patience:
                raise EnvironmentFailed(
                    f"run {self.run}: no master at {self._address} for {self._patience:.0f} s "
                    f"({cause}); look at the master's log"
                )

    def _forward(self, put: Callable[[pb.WatchEvent | GomrError], None]) -> None:
        try:
            for event in self.watch():
                put(event)
        except GomrError as error:
            put(error)
        except Exception as error:  # noqa: BLE001  (who waits must hear of it)
            put(unforeseen(error))

    def _wait_ready(self, timeout: float) -> None:
        """Return once a master answers; TimeoutError when none does in time.

        A call that waits, not `channel_ready_future`: that one polls in a thread of its own,
        which dies with a traceback when the channel is closed meanwhile.
        """
        try:
            self._health.Check(
                health_pb2.HealthCheckRequest(), timeout=max(timeout, 0.001), wait_for_ready=True
            )
        except grpc.RpcError as error:
            if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
                raise TimeoutError from None
            raise

    def _events(self, after: int) -> Iterator[pb.WatchEvent]:
        request = pb.WatchRequest(run=self.run, after=after)
        call = self._stub.Watch(
            request,
            timeout=connection.STREAM_DEADLINE,
            metadata=self._metadata,
            wait_for_ready=False,
        )
        try:
            yield from call
        finally:
            call.cancel()

    def cancel(self, reason: str) -> None:
        """Ask for the end of the run; it is over when `watch` says so."""
        self._unary(self._stub.Cancel, pb.CancelRequest(run=self.run, reason=reason))

    def summary(self) -> Summary | None:
        """How the run ended; None while it goes on."""
        request = pb.SummaryRequest(run=self.run)
        try:
            reply = self._stub.Summary(
                request,
                timeout=connection.UNARY_DEADLINE,
                metadata=self._metadata,
                wait_for_ready=True,
            )
        except grpc.RpcError as error:
            if error.code() is grpc.StatusCode.NOT_FOUND:
                return None
            self._judge(error)
            raise self._unreachable(error) from None
        return summary_of(reply.summary)

    def _unary(self, method: grpc.UnaryUnaryMultiCallable[object, object], request: object) -> None:
        try:
            method(
                request,
                timeout=connection.UNARY_DEADLINE,
                metadata=self._metadata,
                wait_for_ready=True,
            )
        except grpc.RpcError as error:
            self._judge(error)
            raise self._unreachable(error) from None

    def _judge(self, error: grpc.RpcError) -> None:
        if error.code() in FINAL:
            raise EnvironmentFailed(
                f"run {self.run}: {FINAL[error.code()]}: {error.details()}"
            ) from None

    def _unreachable(self, error: grpc.RpcError) -> EnvironmentFailed:
        return EnvironmentFailed(
            f"run {self.run}: the master at {self._address} does not answer "
            f"({error.details() or error.code().name}); look at its log"
        )
