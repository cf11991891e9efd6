"""What a kind may say of itself beyond what every kind must; each has a default for those that do not."""

from collections.abc import Iterable
from typing import cast

from meshd.kinds.base import Document, Kind
from meshd.kinds.workshop import InputFile


def works_with_files(kind: Kind) -> bool:
    """Return whether attempts of a kind have a workshop: its attribute `works_with_files`, where it has one."""
    return getattr(kind, "works_with_files", False) is True


def inputs_of(kind: Kind, resolved: Document) -> tuple[InputFile, ...]:
    """Return which files a job needs: what the kind's `inputs` says, where it has one."""
    tell: object = getattr(kind, "inputs", None)
    return tuple(cast("Iterable[InputFile]", tell(resolved))) if callable(tell) else ()


def may_run_again(kind: Kind, resolved: Document) -> bool:
    """Return whether running a job twice does no harm: what the kind's `retry_safe_as` says of it, or the kind."""
    tell: object = getattr(kind, "retry_safe_as", None)
    return tell(resolved) is True if callable(tell) else kind.retry_safe


def shows_progress(kind: Kind) -> bool:
    """Return whether a long silence means that an attempt is stuck: unless its attribute `silent` is True."""
    return getattr(kind, "silent", False) is not True


def may_be_killed(kind: Kind) -> bool:
    """Return whether an attempt loses nothing when its worker is killed: its attribute `may_be_killed`, if it has one.

    A cancelled attempt of such a kind gets no time to end in good order: it is gone within a tenth of a second.
    """
    return getattr(kind, "may_be_killed", False) is True
