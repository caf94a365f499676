"""obstore's errors, mapped once: whether trying again can help, and a cause in plain words.

obstore's own text carries the request and the server's whole answer, so none of it is shown.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from obstore.exceptions import BaseError, InvalidPathError

_STATUS = re.compile(r"status code: (\d{3})|status: (\d{3}),")
_KEY = re.compile(r'Path ("(?:[^"\\]|\\.)*")')
CODE = re.compile(r"<Code>(\w{1,64})</Code>")

_PLAIN = {
    "NoSuchBucket": "the bucket does not exist: create it or correct the URL",
    "NoSuchUpload": "the upload was aborted on the server",
    "SignatureDoesNotMatch": "access denied: GOMR_S3_SECRET_KEY does not fit the access key",
    "InvalidAccessKeyId": "access denied: the server does not know GOMR_S3_ACCESS_KEY",
    "AccessDenied": "access denied: the credentials lack the permission for this",
    "RequestTimeTooSkewed": "the clocks of this machine and of the server differ too much",
    "XMinioStorageFull": "the store's disk is full",
    "QuotaExceeded": "the bucket's quota is used up",
    "EntityTooLarge": "the object is larger than the store allows",
    "SlowDown": "the store asks to slow down",
    "IncompleteBody": "not all of the bytes reached the store",
    "ClientDisconnected": "not all of the bytes reached the store",
    "RequestTimeout": "the bytes reached the store too slowly",
    "AuthorizationHeaderMalformed": "wrong region: set GOMR_S3_REGION",
    "PermanentRedirect": "wrong region or endpoint: set GOMR_S3_REGION and GOMR_S3_ENDPOINT",
}
UNTRUSTED = (
    "nobody that this machine trusts has signed the server's certificate: name the file of its "
    "authority in SSL_CERT_FILE"
)
_NETWORK = (
    ("BadScheme", "plain HTTP is not allowed by these settings (allow_http)"),
    ("ConnectionRefused", "connection refused: is the store running?"),
    ("dns error", "the host name of the endpoint is not known"),
    ("TimedOut", "no answer in time"),
    ("Timeout", "no answer in time"),
    ("UnknownIssuer", UNTRUSTED),
    ("NotValidForName", "the server's certificate is for another name than the endpoint's"),
    ("InvalidCertificate", "the server's certificate is out of date or falsely signed"),
    ("InvalidContentType", "the server does not speak TLS: is it http://?"),
    ("kind: Connect", "cannot connect"),
)
_FINAL_WORDS = ("BadScheme", "InvalidCertificate", "InvalidContentType")
_FINAL_CODES = {"XMinioStorageFull", "QuotaExceeded", "NoSuchBucket"}
FORBIDDEN, NOT_FOUND = 403, 404
# Of a connection that was cut, and of MinIO for a copy whose source goes away meanwhile: status 400
# all the same.
_AGAIN_CODES = {"IncompleteBody", "RequestTimeout"}
_AGAIN_STATUS = {408, 409, 429, 499}  # 499: of MinIO and nginx, when a proxy between cuts


class NoAnswer(Exception):
    """A request that went past obstore found nobody, or one who is busy; the text is the cause."""


class Refusal(Exception):
    """A request that went past obstore got an answer of this HTTP status, and S3's code or ""."""

    def __init__(self, status: int, code: str) -> None:
        super().__init__(status, code)
        self.status = status
        self.code = code


@dataclass(frozen=True, slots=True)
class Fault:
    """What went wrong. status: of HTTP, 0 when no answer came. code: S3's name of it or ""."""

    cause: str
    status: int
    code: str
    absent: bool
    retry: bool


def fault_of(error: Exception) -> Fault:
    if isinstance(error, NoAnswer):
        return Fault(str(error), 0, "", absent=False, retry=True)
    if isinstance(error, Refusal):
        status, code = error.status, error.code
        cause = _PLAIN.get(code) or _cause(error, "", status, code)
        absent = status == NOT_FOUND and code != "NoSuchBucket"
        return Fault(cause, status, code, absent, retry=_transient("", status, code))
    text = str(error)
    status_match, code_match = _STATUS.search(text), CODE.search(text)
    status = int(status_match[1] or status_match[2]) if status_match else 0
    code = code_match[1] if code_match else ""
    absent = isinstance(error, FileNotFoundError) and code != "NoSuchBucket"
    return Fault(
        cause=_PLAIN.get(code) or _cause(error, text, status, code),
        status=status,
        code=code,
        absent=absent,
        retry=isinstance(error, BaseError) and _transient(text, status, code),
    )


def _transient(text: str, status: int, code: str) -> bool:
    if code in _FINAL_CODES or any(word in text for word in _FINAL_WORDS):
        return False
    if status:
        return status >= 500 or status in _AGAIN_STATUS or code in _AGAIN_CODES
    return any(word in text for word in ("HttpError", "reqwest", "hyper"))


def _cause(error: Exception, text: str, status: int, code: str) -> str:
    if status == FORBIDDEN and not code:  # the answer to a HEAD has no more to say
        return _PLAIN["AccessDenied"]
    if status:
        return f"the server answered {status}{' ' + code if code else ''}"
    for word, cause in _NETWORK:
        if word in text:
            return cause
    if isinstance(error, InvalidPathError):
        key = _KEY.search(text)
        named = f" {key[1]}" if key else ""
        return f"the S3 client takes no key with an empty part or a control character:{named}"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return f"{type(error).__name__} of the S3 client"
