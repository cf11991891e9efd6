"""Which jobs somebody wants to see, in which order, and where an earlier page of them has ended."""

import base64
import binascii
import hashlib
from dataclasses import dataclass

import msgspec

from meshd.errors import BadInput
from meshd.store.listing import Place
from meshd_protocol.localapi import JobSort, JobState

CHECK_BYTES = 8
"""Enough to tell a cursor of another list, or one cut short, from one of this list; it keeps no secret."""

MAX_CURSOR = 1024
"""A name of 64 characters of four bytes each, its JSON escapes, and base64 on top."""


@dataclass(frozen=True, slots=True)
class JobQuery:
    """A list of jobs as it was asked for."""

    states: tuple[JobState, ...] = ()
    """Empty: all."""

    kind: str | None = None
    device: str | None = None
    """Name or id of the device of the newest attempt, or `local`."""

    text: str | None = None
    """Beginnings of words, all of which stand in the id, the name or the spec; a text without words finds nothing."""

    since: float | None = None
    until: float | None = None
    """Submitted then or later, and before; epoch seconds."""

    sort: JobSort = "date"
    is_descending: bool = True

    @property
    def words(self) -> tuple[str, ...]:
        """The words to search for: what stands between spaces and has a letter or a digit."""
        text = "".join(c if c.isprintable() and c != '"' else " " for c in self.text or "")
        return tuple(word for word in text.split() if any(map(str.isalnum, word)))


@dataclass(frozen=True, slots=True)
class Bookmark:
    """Where a page has ended, and the instant for which its list was made."""

    place: Place
    at: float


def cursor(query: JobQuery, mark: Bookmark) -> str:
    """Return the bookmark as text that `read_cursor` takes, for the same query only."""
    data = msgspec.json.encode((mark.place.key, mark.place.number, mark.at))
    return base64.urlsafe_b64encode(_check(query, data) + data).rstrip(b"=").decode()


def read_cursor(text: str, query: JobQuery) -> Bookmark:
    """Return the bookmark that `cursor` wrote.

    Raises:
        BadInput: it is damaged, or was given with a page of another list.
    """
    try:
        if len(text) > MAX_CURSOR:
            raise ValueError
        raw = base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
        data = raw[CHECK_BYTES:]
        if raw[:CHECK_BYTES] != _check(query, data):
            raise ValueError
        key, number, at = msgspec.json.decode(data, type=tuple[str | float, int, float])
    except (ValueError, binascii.Error, msgspec.MsgspecError):
        raise BadInput(
            "the cursor is not one that a page of this list gave",
            field="cursor",
            hint="ask for the first page without a cursor; keep filters and order while you follow it",
        ) from None
    return Bookmark(Place(key, number), at)


def _check(query: JobQuery, data: bytes) -> bytes:
    return hashlib.blake2b(msgspec.json.encode(query) + data, digest_size=CHECK_BYTES).digest()
