"""Address and credentials of a cluster, as kr8s finds them: kubeconfig, exec plugin, service
account of a pod."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import ssl
import tempfile
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx

from gomr_runtime.errors import EnvironmentFailed

if TYPE_CHECKING:
    from kr8s._auth import KubeAuth


class Access:
    """A connection pool to one API server, and what other connections to it need."""

    def __init__(self, auth: KubeAuth, verify: ssl.SSLContext) -> None:
        self._auth = auth
        self._take(verify)

    @classmethod
    async def open(
        cls, context: str, namespace: str, kubeconfig: Mapping[str, Any] | None
    ) -> Access:
        """Of the context, or of the service account of this pod for "". Raises what kr8s does."""
        # Not kr8s.asyncio.api(): that one asks the server for its version, over a connection of
        # its own, and asks again where a right is missing.
        from kr8s._auth import KubeAuth

        auth = KubeAuth(
            context=context or None,
            namespace=namespace,
            kubeconfig=dict(kubeconfig) if kubeconfig is not None else None,  # type: ignore[arg-type]
        )
        await auth
        return cls(auth, await _ssl_of(auth))

    async def renew(self) -> None:
        """Read credentials again: a token has expired or was replaced."""
        try:
            await self._auth.reauthenticate()
            verify = await _ssl_of(self._auth)
        except (ValueError, KeyError, OSError, RuntimeError) as error:
            raise EnvironmentFailed(
                f"the credentials for {self.server} cannot be renewed: {error}"
            ) from None
        old = self.client
        self._take(verify)
        await old.aclose()

    async def close(self) -> None:
        await self.client.aclose()

    def _take(self, verify: ssl.SSLContext) -> None:
        auth = self._auth
        self.server = auth.server
        self.proxy: str | None = auth.proxy
        self.server_name: str | None = auth.tls_server_name
        self.headers = {"Authorization": f"Bearer {auth.token.strip()}"} if auth.token else {}
        self.ssl = verify
        # As kubectl does: no proxy of the environment for a server on this machine.
        self.direct = _is_here(urlsplit(self.server).hostname or "")
        self.client = httpx.AsyncClient(
            base_url=self.server,
            headers=self.headers,
            verify=verify,
            proxy=self.proxy,
            trust_env=not self.direct,
            limits=httpx.Limits(max_connections=None),  # every watch holds one
            event_hooks={"request": [self._name_server]} if self.server_name else {},
        )

    async def _name_server(self, request: httpx.Request) -> None:
        request.extensions["sni_hostname"] = self.server_name


async def _ssl_of(auth: KubeAuth) -> ssl.SSLContext:
    """The TLS settings, without the copies of key and certificates that kr8s leaves behind."""
    try:
        found = await auth.ssl_context()  # type: ignore[no-untyped-call]
    finally:
        _remove_copies(auth.client_key_file, auth.client_cert_file, auth.server_ca_file)
    return found if isinstance(found, ssl.SSLContext) else ssl.create_default_context()


def _remove_copies(*paths: object) -> None:
    for path in filter(None, paths):
        if os.path.dirname(str(path)) == tempfile.gettempdir():
            with contextlib.suppress(OSError):
                os.unlink(str(path))


def _is_here(host: str) -> bool:
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"
