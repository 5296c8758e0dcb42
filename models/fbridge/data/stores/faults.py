"""What a store's failures mean: whether trying again may help, and what to tell the user."""

from __future__ import annotations

import asyncio
import errno
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from fbridge.errors import DataError, reason

Result = TypeVar("Result")

TRIES = 6
"""How often a request is made before it is given up."""
FIRST_WAIT = 0.5
"""Seconds before the second try; each further wait is twice as long: 15 s in all."""
_LATER = "when the store answers again, the same line goes on from there"
_REFUSED = {
    **dict.fromkeys(
        ("ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "RequestExpired"),
        "the credentials have expired; renew them",
    ),
    **dict.fromkeys(
        ("InvalidAccessKeyId", "InvalidToken", "InvalidClientTokenId", "SignatureDoesNotMatch"),
        "the store does not know the credentials; check key and secret",
    ),
    "RequestTimeTooSkewed": "the clock of this machine is wrong, so no request is taken; set it",
}
"""What is said of codes in S3's answers that concern all requests alike."""
_BUSY = (errno.EBUSY, errno.EIO, errno.ETIMEDOUT, errno.EAGAIN)


class StoreError(DataError):
    """A store that does not answer, or not as it should; ends a run, which may be repeated."""


class ObjectError(StoreError):
    """One object that is not there, may not be read, or has changed; others may be well.

    Attributes:
        why: the same without the URL.
    """

    def __init__(self, url: str, why: str) -> None:
        super().__init__(f"{url}: {why}")
        self.why = why


class MissingError(ObjectError):
    """There is no object, folder or bucket of that name: what may not be seen is no such."""


class CutShort(Exception):
    """An answer with fewer bytes than were asked for."""


@dataclass(frozen=True)
class Fault:
    """What an exception of a store means.

    Attributes:
        text: what was answered.
        again: whether another try may succeed.
        one: whether it concerns this object alone.
        missing: whether it says that there is no such object.
    """

    text: str
    again: bool = False
    one: bool = False
    missing: bool = False


def tried(url: str, call: Callable[[], Result]) -> Result:
    """The result of a request, which is repeated with growing waits where that may help.

    Args:
        url: of what is asked for, for the error.
        call: the request.

    Raises:
        MissingError: the object is not there.
        ObjectError: it may not be read.
        StoreError: the store did not answer in `TRIES` tries, or refuses.
    """
    for number in range(1, TRIES + 1):
        try:
            return call()
        except Exception as error:  # each protocol's package raises its own
            fault = fault_of(error)
            if fault.one:
                kind = MissingError if fault.missing else ObjectError
                raise kind(url, fault.text) from error
            if not fault.again:
                raise StoreError(f"{url}: {fault.text}") from error
            if number == TRIES:
                tries = f"{fault.text} in {TRIES} tries"
                raise StoreError(f"{url}: {tries}; {_LATER}") from error
        # Processes that were refused together shall not come back together.
        time.sleep(FIRST_WAIT * 2 ** (number - 1) * random.uniform(0.5, 1))
    raise AssertionError("the last try returns or raises")


def fault_of(error: BaseException) -> Fault:
    """What an exception of fsspec, or of a package below it, means."""
    code = next(filter(None, map(_code, _chain(error))), "")
    return Fault(f"{_REFUSED[code]} ({code})") if code in _REFUSED else _fault_by_kind(error)


def _fault_by_kind(error: BaseException) -> Fault:
    if isinstance(error, CutShort):
        return Fault(f"answered {error}", again=True)
    if isinstance(error, FileNotFoundError):
        if any(map(_no_bucket, _chain(error))):
            return Fault("there is no such bucket; check its name", one=True, missing=True)
        text = "there is no such object or folder; check the name"
        return Fault(text, one=True, missing=True)
    if isinstance(error, PermissionError):
        return Fault("access is denied; check the credentials and their rights", one=True)
    names = {kind.__name__ for cause in _chain(error) for kind in type(cause).__mro__}
    if names & {"NoCredentialsError", "PartialCredentialsError", "DefaultCredentialsError"}:
        return Fault(
            "no credentials were found; give them as the store's own tools take them, by "
            "environment or profile"
        )
    status = next(filter(None, map(_status, _chain(error))), 0)
    if status:
        again = status in (408, 429) or status >= 500
        missing = status in (404, 410)
        one = missing or status in (401, 403)
        return Fault(f"answered {status} ({_line(error)})", again=again, one=one, missing=missing)
    if isinstance(error, (TimeoutError, asyncio.TimeoutError)) or "ReadTimeoutError" in names:
        return Fault("did not answer in time", again=True)
    if isinstance(error, OSError) and error.errno in _BUSY:
        return Fault(f"answered: {_line(error)}", again=True)
    if names & {"ConnectionError", "ClientError", "HTTPClientError", "IncompleteRead"}:
        return Fault(f"cannot be reached or broke off ({_line(error)})", again=True)
    return Fault(f"cannot be used ({_line(error)})")


def _no_bucket(error: BaseException) -> bool:
    """Whether an exception of botocore says that the bucket is not there."""
    asked = getattr(error, "operation_name", "")
    return type(error).__name__ == "NoSuchBucket" or asked == "HeadBucket"


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The exception and its causes."""
    found: BaseException | None = error
    while found is not None:
        yield found
        found = found.__cause__


def _status(error: BaseException) -> int:
    """The status of HTTP in an exception; 0 if it has none."""
    status = getattr(error, "status", 0)  # aiohttp
    answer = getattr(error, "response", None)  # botocore
    if isinstance(answer, dict):
        status = answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return status if isinstance(status, int) and status >= 400 else 0


def _code(error: BaseException) -> str:
    """The code in an answer of S3; "" if there is none."""
    answer = getattr(error, "response", None)  # botocore
    told = answer.get("Error", {}) if isinstance(answer, dict) else {}
    return str(told.get("Code", "")) if isinstance(told, dict) else ""


def _line(error: BaseException) -> str:
    """The first line of an error that says something."""
    text = reason(error)
    return text if len(text) < 200 else text[:200] + "..."
