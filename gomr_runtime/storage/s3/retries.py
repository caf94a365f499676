"""Sending requests to S3 again and again, while that can help and the time lasts."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TypeVar

from obstore.exceptions import BaseError, PreconditionError

from gomr_runtime.errors import DataError, StorageError
from gomr_runtime.storage.s3.errors import NoAnswer, Refusal, fault_of
from gomr_runtime.storage.s3.outage import Outage

T = TypeVar("T")

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0


class Again(Exception):
    """Worth another try, whatever the store says of the error that is the reason."""

    def __init__(self, reason: BaseError) -> None:
        super().__init__()
        self.reason = reason


class Retries:
    """Of all operations on one store, for `seconds` each; an outage counts once, see `Outage`.

    url: of the store, for messages.
    """

    def __init__(self, url: str, seconds: float) -> None:
        self._url = url
        self._outage = Outage(seconds)

    def run(self, action: str, key: str, step: Callable[[], T]) -> T:
        """`step()`, again and again while that can help and the time lasts.

        Raises:
            KeyError: What is to be read or copied is not there.
            DataError: What is to be read is another object by now.
            StorageError: anything else; with a plain cause and no credentials.
        """
        began, pause = time.monotonic(), FIRST_PAUSE
        while True:
            tried = time.monotonic()
            try:
                done = step()
            except PreconditionError:
                raise DataError(f"{self._url}/{key} changed while it was read") from None
            except (Again, NoAnswer, Refusal, BaseError, FileNotFoundError) as error:
                failure = self._failure(action, key, error, tried)
                now = time.monotonic()
                left = self._outage.deadline(began) - now
                if left <= 0:
                    raise StorageError(f"{failure}; gave up after {now - began:.0f} s") from None
            else:
                self._outage.answered()
                return done
            time.sleep(min(left, pause * random.uniform(0.5, 1.0)))  # noqa: S311
            pause = min(pause * 2, LONGEST_PAUSE)

    def _failure(self, action: str, key: str, error: Exception, tried: float) -> str:
        """What went wrong in one try that began at `tried`. Raises where no other try can help."""
        conflict = isinstance(error, Again)
        fault = fault_of(error.reason if isinstance(error, Again) else error)
        words = f"cannot {action} {key} in {self._url}: {fault.cause}"
        if fault.retry and not conflict:
            self._outage.unanswered(tried)
            return words
        self._outage.answered()
        # Of an upload that is complete, but whose last answer got lost, the server knows no more.
        if conflict or (fault.code == "NoSuchUpload" and action == "write"):
            return words
        if fault.absent and action in {"read", "copy"}:
            raise KeyError(key) from None
        raise StorageError(words) from None
