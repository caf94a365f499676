"""Who may call what, decided before anything that a caller sends is read.

Calls that are refused, and health checks, which anybody may ask for, are served as streams of which
no message is taken: a unary method would be called with the whole request in memory.
"""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeAlias

import grpc
from grpc.aio import ServicerContext
from grpc_health.v1 import health_pb2

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Context: TypeAlias = "ServicerContext[Any, Any]"

HEALTH_CHECK = "/grpc.health.v1.Health/Check"
_SERVING = health_pb2.HealthCheckResponse(status=health_pb2.HealthCheckResponse.SERVING)


class Gate(grpc.aio.ServerInterceptor):
    """Every call must carry the token of the service it calls; a health check alone needs none."""

    def __init__(self, tokens: Mapping[str, str]) -> None:
        """tokens: by the full names of the services, such as `gomr.v1.Run`."""
        self._expected = {name: f"Bearer {token}".encode() for name, token in tokens.items()}

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        """The handler of the call, or one that refuses it."""
        method = handler_call_details.method
        if method == HEALTH_CHECK:
            return _HEALTHY
        service = method.removeprefix("/").partition("/")[0]
        expected = self._expected.get(service)
        if expected is None:
            return None
        given = dict(handler_call_details.invocation_metadata).get("authorization", "")
        data = given.encode() if isinstance(given, str) else given
        if not hmac.compare_digest(data, expected):
            return _REFUSING
        return await continuation(handler_call_details)


def _unread(answer: Callable[[object, Context], Awaitable[None]]) -> Handler:
    """A handler that answers without taking what it is sent."""
    return grpc.stream_stream_rpc_method_handler(answer)


async def _refuse(_: object, context: Context) -> None:
    await context.abort(grpc.StatusCode.UNAUTHENTICATED, "no or wrong token for this run")


async def _say_healthy(_: object, context: Context) -> None:
    await context.write(_SERVING.SerializeToString())


_REFUSING, _HEALTHY = _unread(_refuse), _unread(_say_healthy)
