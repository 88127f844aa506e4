"""The failures that orwatch expects, each with the exit code that it leads to.

A message says what failed, with which value, and what to do next. Anything that is not an
``OrwatchError`` is a bug and ends in a traceback and ``EXIT_BUG``.
"""

from __future__ import annotations

from collections.abc import Sequence

EXIT_DONE = 0
EXIT_NEEDS_PERSON = 1
EXIT_USAGE = 2
EXIT_BUG = 70
EXIT_TRY_AGAIN = 75
EXIT_SETTINGS = 78


class OrwatchError(Exception):
    """The work was done or refused, and a person has to see to something.

    ``problem``: what failed, with which value. ``advice``: what to do next, in whole sentences. ``setting``:
    the name of the setting that is wrong. As text: what was given, in one or two sentences.
    """

    exit_code = EXIT_NEEDS_PERSON

    def __init__(self, problem: str, advice: str | None = None, setting: str | None = None) -> None:
        end = "" if problem.endswith((".", "?")) else "."
        super().__init__(problem if advice is None else f"{problem}{end} {advice}")
        self.problem = problem.removesuffix(".")  # so that a sentence can go on with it
        self.advice = advice
        self.setting = setting


class UsageError(OrwatchError):
    """The command line asks for something that does not exist or contradicts itself."""

    exit_code = EXIT_USAGE


class SettingsError(OrwatchError):
    """A setting, a file or the database is missing, wrong or not to be used."""

    exit_code = EXIT_SETTINGS


class WrongSettingsError(SettingsError):
    """Several settings are wrong: ``errors`` has one for each."""

    def __init__(self, errors: Sequence[SettingsError]) -> None:
        super().__init__(" ".join(map(str, errors)))
        self.errors = tuple(errors)


class UnreadableError(OrwatchError):
    """A place that may hold the schedule cannot be looked into from here."""


class BrokenMarksError(OrwatchError):
    """The marks of orwatch's lines in a crontab are not one pair."""


class TryAgainError(OrwatchError):
    """Passing trouble: the same command may well succeed later."""

    exit_code = EXIT_TRY_AGAIN


class LockHeldError(TryAgainError):
    """Another process runs the same job on the same database."""


class InterruptedRunError(TryAgainError):
    """The run was told to stop while it waited."""


class JobTimeoutError(InterruptedRunError):
    """The run took longer than its limit."""


class WrongClockError(SettingsError):
    """This machine's clock and the API's are more than a day apart: days would be written wrongly."""


class CertificateError(SettingsError):
    """The certificate of the API, or of a proxy before it, is not to be trusted: no key is sent there."""


class EncryptionKeyError(SettingsError):
    """The encryption key is missing, malformed, or opens none of what it should open."""


class StoreUnusableError(SettingsError):
    """The database cannot be opened or written, or its schema is not ours to touch."""


class StoreUnavailableError(TryAgainError):
    """The database is busy or its disk is full; what was committed before stays whole."""


class ApiError(OrwatchError):
    """The API did not give what was asked of it.

    ``status`` is the HTTP status, or None when there was no whole answer. ``outage``: what the error says of
    the API as a whole, whatever was asked of it and with which key; None: nothing.
    """

    is_passing = False

    def __init__(self, problem: str, status: int | None = None, outage: str | None = None) -> None:
        super().__init__(problem)
        self.status = status
        self.outage = outage


class KeyRejectedError(ApiError):
    """401: the API does not know this key, or not any more. Ask again before believing it."""


class EndpointMissingError(ApiError):
    """404: this server has no such endpoint."""


class UnexpectedAnswerError(ApiError):
    """200, but not the JSON that the endpoint promises."""


class TruncatedAnswerError(UnexpectedAnswerError):
    """200, but rows of the answer are missing: ask for less at once, and store nothing of it."""


class QueryTooHeavyError(ApiError):
    """408 to a query: ask for less at once."""

    is_passing = True
    exit_code = EXIT_TRY_AGAIN


class TimeShareError(ApiError):
    """Not asked: the time that this part of the run may take is over."""

    is_passing = True
    exit_code = EXIT_TRY_AGAIN


class ApiUnavailableError(ApiError):
    """Time-outs, broken connections, 408, 429 and 5xx, after all the tries."""

    is_passing = True
    exit_code = EXIT_TRY_AGAIN
