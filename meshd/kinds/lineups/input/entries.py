"""Entries: what a site exports of a user's places in contests, and takes back with a lineup in each.

DraftKings calls the file DKEntries.csv, FanDuel an upload template. Both begin with four columns about the contest,
go on with a column for each place of a lineup, and have instructions and the players of the slate to the right.
"""

import itertools
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from types import MappingProxyType

import msgspec

from meshd.errors import BadInput
from meshd.kinds.lineups.input.given import identity_in
from meshd.kinds.lineups.input.players import Player, Roll
from meshd.kinds.lineups.input.table import Source, read_cells
from meshd.kinds.lineups.limits import MAX_ENTRIES, MAX_NAME_CHARACTERS

SOURCE = Source(
    "The entries file",
    "entries_csv",
    "On DraftKings, choose Edit Entries and download DKEntries.csv; on FanDuel, download the upload template.",
)

TITLES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "draftkings": ("Entry ID", "Contest Name", "Contest ID", "Entry Fee"),
        "fanduel": ("entry_id", "contest_id", "contest_name", "entry_fee"),
    }
)
"""What each site calls the columns before those of the places."""

_FIELDS = {"entry id": "id", "contest name": "contest", "contest id": "contest_id", "entry fee": "fee"}

_LOCKED = re.compile(r"\s*\(locked\)\s*$", re.IGNORECASE)
"""What DraftKings writes behind a player whose game has begun."""

SWAPS = ("broken", "all")
"""Which entries get another lineup: those that lack a player or hold one who is out; or all, where they are free."""


@dataclass(frozen=True, slots=True)
class Place:
    """One place of an entry's lineup."""

    text: str = ""
    """What the file says; "" where the place is empty."""

    id: str = ""
    """The player's; "" where it is empty, or holds somebody who is not on the slate."""

    locked: bool = False
    """Whether the site lets nobody change it any more."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One place in a contest, with its lineup as far as it has one."""

    id: str
    contest: str
    contest_id: str
    fee: str
    places: tuple[Place, ...]

    @property
    def locked(self) -> tuple[int, ...]:
        """The places that nobody can change."""
        return tuple(at for at, place in enumerate(self.places) if place.locked)

    def is_to_change(self, swap: str, closed: Collection[str]) -> bool:
        """Return whether the entry is to get another lineup; those `closed` are to be in none."""
        free = [place for place in self.places if not place.locked]
        held = [place.id for place in self.places if place.locked]
        if not free or len(set(held)) < len(held) or any(place.text and not place.id for place in self.places):
            return False
        return swap == "all" or any(not place.id or place.id in closed for place in free)


@dataclass(frozen=True, slots=True)
class EntryFile:
    """The entries of one file, in its order."""

    titles: tuple[str, ...]
    """Of the places, as the file has them."""

    entries: tuple[Entry, ...]


def has_entries(text: str) -> bool:
    """Return whether a file lists entries, whatever else it has."""
    return any(_is_head(line.lstrip("\ufeff").split(",")) for line in text.splitlines()[:20])


def read_entries(text: str, players: Sequence[Player], titles: Sequence[str], started: frozenset[str]) -> EntryFile:
    """Return the entries of a site's file; a place is locked when the file says so, or its player has `started`.

    `titles` are those of a lineup's places as the contest has them.

    Raises:
        BadInput: it is no such file, or one of another sport.
    """
    cells = read_cells(text, SOURCE)
    head = next((at for at, line in enumerate(cells) if _is_head(line)), None)
    if head is None:
        raise SOURCE.refuse("The entries file has no line with the column titles Entry ID and Contest Name.")
    about = [
        _FIELDS.get(_plain(title)) for title in itertools.takewhile(lambda title: _plain(title) in _FIELDS, cells[head])
    ]
    own = tuple(itertools.takewhile(bool, cells[head][len(about) :]))
    if len(own) != len(titles) or not set(own) & set(titles):
        raise SOURCE.refuse(
            f"The entries are of lineups of {', '.join(own) or 'no places'}; "
            f"those of the slate are of {', '.join(titles)}.",
            hint="Send the entries of a contest of the same slate.",
        )
    roll = Roll(players)
    entries: list[Entry] = []
    for line in cells[head + 1 :]:
        if not line[0]:
            continue  # Instructions and players stand to the right of nothing.
        told = {name: line[at][:MAX_NAME_CHARACTERS] for at, name in enumerate(about) if name and at < len(line)}
        named = [*line[len(about) : len(about) + len(own)], *[""] * len(own)][: len(own)]
        places = tuple(_place(cell, roll, started) for cell in named)
        entries.append(
            Entry(told["id"], told.get("contest", ""), told.get("contest_id", ""), told.get("fee", ""), places)
        )
    if not entries:
        raise SOURCE.refuse("The entries file has a line of titles and no entries.", hint="Enter a contest first.")
    if len(entries) > MAX_ENTRIES:
        raise SOURCE.refuse(
            f"The entries file has {len(entries):,} entries; {MAX_ENTRIES:,} are the most.", hint="Send a part of them."
        )
    twice = [who for who, times in Counter(entry.id for entry in entries).items() if times > 1]
    if twice:
        raise SOURCE.refuse(f"The entries file has the entry {twice[0]} twice.", hint="Download it again.")
    return EntryFile(own, tuple(entries))


def documents_of(entries: Sequence[Entry]) -> list[dict[str, object]]:
    """Return the entries as a resolved spec lists them."""
    return [{**asdict(entry), "places": [asdict(place) for place in entry.places]} for entry in entries]


def read_documents(documents: object, size: int) -> tuple[Entry, ...]:
    """Return the entries of a resolved spec.

    Raises:
        BadInput: they are none, or not of lineups of that size.
    """
    try:
        entries = msgspec.convert(documents, tuple[Entry, ...])
    except msgspec.ValidationError as error:
        raise BadInput(f"The entries cannot be read: {error}.", field="entries", hint=SOURCE.hint) from None
    places = [place for entry in entries for place in entry.places]
    if (
        len(entries) > MAX_ENTRIES
        or any(len(entry.places) != size for entry in entries)
        or any((place.id or place.locked) and not place.text for place in places)
    ):
        raise BadInput("The entries are too many, or not of this contest.", field="entries", hint=SOURCE.hint)
    return entries


def ids_of(entry: Entry) -> list[str]:
    """Return who is in an entry, sorted."""
    return sorted(place.id for place in entry.places if place.id)


def _place(cell: str, roll: Roll, started: frozenset[str]) -> Place:
    text = cell[: 2 * MAX_NAME_CHARACTERS]
    bare = _LOCKED.sub("", text)
    who = identity_in(bare, roll) or ""
    return Place(text, who, bool(bare) and (bare != text or who in started))


def _is_head(line: Sequence[str]) -> bool:
    return len(line) > 2 and _plain(line[0]) == "entry id" and "contest id" in map(_plain, line[1:4])


def _plain(title: str) -> str:
    return re.sub(r"[\s_]+", " ", title.strip().strip('"').casefold())
