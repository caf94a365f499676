"""Why a cluster cannot be used, in plain words, each with what to do next. Pure."""

from __future__ import annotations

import ssl

from gomr_runtime.errors import EnvironmentFailed, NotPermitted

ROLE = "k8s/manifests/rbac/role.yaml is the Role that runs need"


def unusable(error: Exception, cluster: str, server: str, timeout: float) -> EnvironmentFailed:
    """For what connecting to `cluster` raised."""
    where = f"cluster {cluster}" + (f" at {server}" if server else "")
    if isinstance(error, EnvironmentFailed):
        return error
    if isinstance(error, TimeoutError):
        return EnvironmentFailed(f"{where} does not answer within {timeout:.0f} s: is it running?")
    if isinstance(error, FileNotFoundError):
        return EnvironmentFailed(
            f"{where}: {error.filename or error} is missing, which the kubeconfig names; "
            "install it or log in again"
        )
    if isinstance(error, ssl.SSLError):
        return EnvironmentFailed(
            f"{where}: certificate or key of the kubeconfig cannot be used ({error.reason}); "
            "log in again"
        )
    if isinstance(error, RuntimeError):  # the exec plugin; its last line says why
        last = (str(error).strip().splitlines() or [""])[-1]
        return EnvironmentFailed(
            f"{where}: the login program of the kubeconfig failed: {last}; log in again"
        )
    if isinstance(error, KeyError):
        return EnvironmentFailed(f"{where}: the kubeconfig lacks {error}; log in again")
    return EnvironmentFailed(f"{where} cannot be used: {error or type(error).__name__}")


def no_answer(error: Exception, cluster: str, server: str) -> EnvironmentFailed:
    """For a request that did not get through."""
    text = str(error)
    if "CERTIFICATE_VERIFY_FAILED" in text:
        return EnvironmentFailed(
            f"cluster {cluster} at {server} has a certificate that the kubeconfig does not trust: "
            "was the cluster made anew? write its kubeconfig again"
        )
    cause = "no answer in time" if "Timeout" in type(error).__name__ else text
    return EnvironmentFailed(
        f"cluster {cluster} at {server} does not answer "
        f"({cause or type(error).__name__}): is it running?"
    )


def refused(
    status: int,
    message: str,
    *,
    verb: str,
    resource: str,
    name: str,
    cluster: str,
    namespace: str,
) -> EnvironmentFailed:
    """For an answer of the API server that is no success, by its HTTP status and message.

    namespace: "" for a request that was about none.
    """
    if status == 401:
        return EnvironmentFailed(
            f"cluster {cluster} does not accept the credentials of the kubeconfig: they may have "
            "expired; log in again"
        )
    if status == 403 and " cannot " in message:  # RBAC; quotas and policies say something else
        where = f"namespace {namespace} of cluster" if namespace else "all of cluster"
        return NotPermitted(
            f"you may not {verb} {resource} in {where} {cluster}: "
            f"{ROLE}; ask for it, or use another --namespace"
        )
    if status == 404 and f'namespaces "{namespace}" not found' in message:
        return EnvironmentFailed(
            f"cluster {cluster} has no namespace {namespace}: "
            f"kubectl create namespace {namespace}, or use another --namespace"
        )
    what = f"{resource} {name}".strip()
    return EnvironmentFailed(f"cluster {cluster} refuses to {verb} {what}: {message} ({status})")
