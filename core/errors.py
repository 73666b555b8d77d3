"""One error tree, one class per decision that the caller has to take.

Every message names what is wrong, where, and how to mend it.

- `ConfigurationError`: nothing was started; fix the configuration (exit code 2).
- `RefusedReadingError`: this reading or message ends as quarantined or rejected.
- `StoreUnavailableError`: retry later, nothing is lost (exit code 3 on the command line).
- `StoreMisconfiguredError`: the store refuses us (token, organisation, bucket); keep the data,
  say so, and retry slowly.
- `StoreRejectedError`: the store refuses this data; split the batch until the culprit is found.
- `BrokerUnavailableError`: no MQTT broker answers; retry later (exit code 3 on the command line).
- `SpoolFullError`: there is no room to keep what arrives; stop acknowledging until there is.
- `NotFoundError`: the thing asked for does not exist (exit code 4 on the command line).
- `InsufficientDataError`: the number is refused, with its reason (exit code 4).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with a configuration.

    Attributes:
        file: Where it was read (a path, or `environment`).
        key: The dotted key inside that file, empty when the whole file is meant.
        problem: What is wrong.
        hint: How to mend it.
    """

    file: str
    key: str
    problem: str
    hint: str

    def __str__(self) -> str:
        where = f"{self.file}: {self.key}" if self.key else self.file
        return f"{where}: {self.problem} ({self.hint})" if self.hint else f"{where}: {self.problem}"


class GreendcError(Exception):
    """Base of every error that greendc raises on purpose."""


class ConfigurationError(GreendcError):
    """The configuration cannot be used; carries every problem found, not the first one."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = problems
        super().__init__("\n".join(str(problem) for problem in problems))


class RefusedReadingError(GreendcError):
    """A message or a reading cannot be stored.

    Attributes:
        reason: A code of `core.reasons.REASONS`.
        detail: What was found, in one line, for a person.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        self.reason = reason
        self.detail = detail
        super().__init__(f"{reason}: {detail}" if detail else reason)


class StoreError(GreendcError):
    """Base of what a store can answer instead of a result."""


class StoreUnavailableError(StoreError):
    """The store did not answer or asked to wait; the same call may succeed later.

    Attributes:
        retry_after_s: How long the store asked to wait, in seconds; None where it did not say.
    """

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        self.retry_after_s = retry_after_s
        super().__init__(message)


class StoreMisconfiguredError(StoreError):
    """The store refuses the caller, not the data: token, organisation or bucket."""


class StoreRejectedError(StoreError):
    """The store refuses the data itself; a smaller batch without the culprit may pass.

    Attributes:
        dropped: How many readings the store says that it left out while it took the others; None
            where it took none of them, or does not say.
        answer: The store's own words, without the address that stands in the message.
    """

    def __init__(self, message: str, dropped: int | None = None, answer: str = "") -> None:
        self.dropped = dropped
        self.answer = answer
        super().__init__(message)


class BrokerUnavailableError(GreendcError):
    """The MQTT broker does not answer; the same call may succeed later."""


class SpoolFullError(GreendcError):
    """The spool cannot take another commit (disk full, or its configured size is reached)."""


class NotFoundError(GreendcError):
    """What was asked for does not exist: a site, a device, an entry."""


class InsufficientDataError(GreendcError):
    """A figure cannot be given honestly; the message says which data are missing."""
