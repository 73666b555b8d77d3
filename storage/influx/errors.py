"""What InfluxDB and the way to it answer instead of a result, as our errors: one table.

| answer | error |
|---|---|
| no connection, no answer in time, connection cut | unavailable |
| 408, 429, any 5xx (with `Retry-After` where sent) | unavailable |
| 400, 413 | rejected, with the server's own words: nothing of the batch was written |
| 422 | rejected; where it says `dropped=N`, the rest of the batch was written |
| 401, 403 | misconfigured: token |
| 404, 400 for an unknown organisation | misconfigured: bucket, organisation, no InfluxDB 2.x |
| TLS refused, any other status | misconfigured: address |
"""

from __future__ import annotations

import email.utils
import json
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from influxdb_client.client.exceptions import InfluxDBError
from influxdb_client.rest import ApiException
from urllib3.exceptions import HTTPError

from core.errors import (
    StoreError,
    StoreMisconfiguredError,
    StoreRejectedError,
    StoreUnavailableError,
)

# A server that asks for more is asked again after this long nevertheless.
LONGEST_WAIT_S = 300.0
# A query names its organisation in the address, and a wrong one is called a bad request.
_UNKNOWN_ORG = "failed to decode request body: organization"
_DROPPED = re.compile(r"\bdropped=(\d+)")


class MissingBucketError(StoreMisconfiguredError):
    """The server knows no such bucket; it may be made."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a call went: what a message has to name."""

    url: str
    org: str
    bucket: str

    def __str__(self) -> str:
        return f"InfluxDB at {self.url} (organisation {self.org!r}, bucket {self.bucket!r})"


class AskedWait:
    """The wait that a server asked for: nobody sends anything to it before it is over. Thread-safe.

    One for all who ask the same server in a process, so that the check of one does not break what
    was asked of another.
    """

    def __init__(self) -> None:
        self._until = 0.0
        self._lock = threading.Lock()

    @contextmanager
    def kept(self, place: Place) -> Iterator[None]:
        """Refuse by ourselves inside the wait; else note the wait that an answer asks for.

        Raises:
            StoreUnavailableError: The wait is not over.
        """
        with self._lock:
            left_s = self._until - time.monotonic()
        if left_s > 0:
            words = f"{place}: asked to be left alone for a while, and is (Retry-After)"
            raise StoreUnavailableError(words, left_s)
        try:
            yield
        except StoreUnavailableError as error:
            if error.retry_after_s:
                with self._lock:
                    until = time.monotonic() + error.retry_after_s
                    self._until = max(self._until, until)
            raise


@contextmanager
def translated(place: Place, doing: str) -> Iterator[None]:
    """Turn what the client raises into our errors.

    Args:
        doing: What was being done, such as `write`, for the message.
    """
    try:
        yield
    except ApiException as error:
        raise error_of(error, place, doing) from None
    except InfluxDBError as error:
        # The client's own words where it looked up the organisation and found none.
        raise _not_found(place, doing, _first_line(error)) from None
    except UnicodeDecodeError:
        # The client decodes before it looks at the status.
        words = f"{place}: {doing} got an answer that is no text; it is tried again"
        raise StoreUnavailableError(words) from None
    except (HTTPError, OSError) as error:
        words = f"{place}: {doing} got no answer ({_first_line(error)}); it is tried again"
        raise StoreUnavailableError(words) from None


def error_of(error: ApiException, place: Place, doing: str) -> StoreError:
    """The error that stands for one refusal of the server."""
    status = int(error.status or 0)
    words = _server_words(error)
    if status == 0:
        # The client turns a failed TLS handshake into this.
        return StoreMisconfiguredError(
            f"{place}: no trusted TLS connection: {_first_line(error.reason)}; check the address "
            "and the certificate"
        )
    if status in (408, 429) or status >= 500:
        wait_s = _retry_after_s(error.headers or {})
        return StoreUnavailableError(f"{place}: {doing} answered {status}: {words}", wait_s)
    if status == 400 and words.startswith(_UNKNOWN_ORG):
        return _not_found(place, doing, f"{status}: {words}")
    make = _BY_STATUS.get(status, _wrong_address)
    return make(place, doing, f"{status}: {words}")


def _rejected(place: Place, doing: str, answer: str) -> StoreError:
    return StoreRejectedError(f"{place}: {doing} was refused with {answer}", answer=answer)


def _partly_written(place: Place, doing: str, answer: str) -> StoreError:
    found = _DROPPED.search(answer)
    dropped = int(found[1]) if found else None
    return StoreRejectedError(f"{place}: {doing} was refused with {answer}", dropped, answer)


def _wrong_token(place: Place, doing: str, answer: str) -> StoreError:
    return StoreMisconfiguredError(
        f"{place}: the token may not {doing} ({answer}); set GREENDC_TIMESERIES__TOKEN or "
        "GREENDC_TIMESERIES__TOKEN_FILE to a token of this organisation that may read and write "
        "this bucket"
    )


def _not_found(place: Place, doing: str, answer: str) -> StoreError:
    if "bucket" in answer:
        return MissingBucketError(
            f"{place}: {doing} found no such bucket ({answer}); make it, or give a token that may "
            "make buckets, or set GREENDC_TIMESERIES__BUCKET"
        )
    return StoreMisconfiguredError(
        f"{place}: {doing} found nothing there ({answer}); check GREENDC_TIMESERIES__URL (an "
        "InfluxDB 2.x) and GREENDC_TIMESERIES__ORG"
    )


def _wrong_address(place: Place, doing: str, answer: str) -> StoreError:
    return StoreMisconfiguredError(
        f"{place}: {doing} got an answer that no InfluxDB 2.x gives ({answer}); check "
        "GREENDC_TIMESERIES__URL"
    )


_BY_STATUS: Mapping[int, Callable[[Place, str, str], StoreError]] = {
    400: _rejected,
    413: _rejected,
    422: _partly_written,
    401: _wrong_token,
    403: _wrong_token,
    404: _not_found,
}


def _server_words(error: ApiException) -> str:
    body = error.body or b""
    text = body.decode("utf-8", "replace") if isinstance(body, bytes) else str(body)
    try:
        answer = json.loads(text)
    except ValueError:
        answer = None
    if isinstance(answer, dict) and "message" in answer:
        text = str(answer["message"])
    # One line, and not the whole body that the server may quote back.
    return " ".join(text.split())[:500] or str(error.reason)


def _first_line(error: object) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]


def _retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Seconds that the server asks to wait: a number, or a date of its clock."""
    text = str(headers.get("Retry-After") or "").strip()
    if not text:
        return None
    try:
        wait_s = float(text)
    except ValueError:
        moment = email.utils.parsedate_tz(text)
        if moment is None:
            return None
        wait_s = email.utils.mktime_tz(moment) - time.time()
    return min(max(wait_s, 0.0), LONGEST_WAIT_S) if wait_s == wait_s else None
