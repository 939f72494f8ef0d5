"""What goes wrong, as a sentence and a hint; "no verdict" is a type of its own, so that it never mixes with one."""

from __future__ import annotations

from collections.abc import Iterable

from bpfcompat.outcome import Classification, Outcome, OutcomeKind


class BpfcompatError(Exception):
    """A mistake or a shortage that the user can mend.

    message: one sentence that a user understands.
    hint: the exact command to run or line to change; may be empty.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n  hint: {self.hint}" if self.hint else self.message


class NoVerdict(BpfcompatError):  # noqa: N818 - it is the answer "we do not know", not a defect
    """A job could not be brought to the point where its command says something about the kernel."""

    def __init__(self, classification: Classification, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.classification = classification

    def outcome(self) -> Outcome:
        """Return the outcome of a job that came to this."""
        return Outcome(OutcomeKind.NO_VERDICT, str(self), self.classification)


def did_you_mean(name: str, known: Iterable[str], otherwise: str) -> str:
    """Return the hint for a name that is not among those that are known: the one that it is closest to, if any is.

    otherwise: the hint where none is close.
    """
    import difflib  # for mistakes only

    close = difflib.get_close_matches(name, list(known), n=1)
    return f"did you mean '{close[0]}'?" if close else otherwise
