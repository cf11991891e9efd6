"""Who may do what here: granted to each peer by kind of job, on this device and nowhere else."""

from collections.abc import Collection, Iterable
from typing import Final

from meshd.errors import BadInput

DEFAULT_PERMISSIONS: Final = ("echo", "function", "lineups")
"""Numeric work, and the diagnostic that tests a connection.

Commands and requirements, which run programs of the peer's choosing, are never granted unasked.
"""

MAX_PERMISSIONS: Final = 64
"""More than there are kinds; bounds a row."""


def may(permissions: Collection[str], kind: str) -> bool:
    """Return whether a peer with these permissions may have a job of this kind done here."""
    return kind in permissions


def checked(kinds: Iterable[str]) -> tuple[str, ...]:
    """Return the kinds as permissions: each once, in order of the alphabet.

    Raises:
        BadInput: a kind is not a word, or there are too many.
    """
    permissions = tuple(sorted(set(kinds)))
    if len(permissions) > MAX_PERMISSIONS:
        raise BadInput(f"at most {MAX_PERMISSIONS} permissions", field="permissions")
    for kind in permissions:
        if not kind.isidentifier() or len(kind) > MAX_PERMISSIONS:
            raise BadInput(f"{kind[:40]!r} is not a kind of job", field="permissions", hint="`meshd status` lists them")
    return permissions
