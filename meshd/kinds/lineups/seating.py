"""Who sits where: the places of a site's file, and of a lineup, whose orders may differ."""

from collections.abc import Sequence

from meshd.kinds.lineups.input.entries import Entry


def seats(own: Sequence[str], titles: Sequence[str]) -> list[int]:
    """Return the place of the contest that each place of a file is: by its title, and where none is alike, in order."""
    left = list(range(len(titles)))
    found: dict[int, int] = {}
    for alike in (True, False):
        for at, title in enumerate(own):
            seat = next((seat for seat in left if not alike or titles[seat] == title), None)
            if at not in found and seat is not None:
                found[at] = seat
                left.remove(seat)
    return [found[at] for at in range(len(own))]


def seated(entry: Entry, ids: Sequence[str], own: Sequence[str], titles: Sequence[str]) -> list[str]:
    """Return who is in each place of an entry, of a lineup in the order of the contest's places: the locked stay."""
    by_title: dict[str, list[str]] = {}
    for title, who in zip(titles, ids, strict=True):
        by_title.setdefault(title, []).append(who)
    where = [titles[seat] for seat in seats(own, titles)]
    for place in entry.locked:
        by_title[where[place]].remove(entry.places[place].id)
    return [
        entry.places[at].id if entry.places[at].locked else by_title[title].pop(0) for at, title in enumerate(where)
    ]
