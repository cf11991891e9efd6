"""The kind `lineups`: which sport a spec is of; the rest is the sport's."""

from meshd.errors import BadInput
from meshd.kinds.base import Document, Kind
from meshd.kinds.lineups import sports
from meshd.kinds.lineups.input.plain import in_its_words, is_plain, translated
from meshd.kinds.lineups.input.salaries import read_salaries
from meshd.kinds.lineups.input.swap import asks_for_entries, resolve_with_entries


class LineupsKind:
    """The daemon's side of lineup optimization; its unit of work is one lineup scored in one race or game."""

    name = "lineups"
    deterministic = True
    retry_safe = True
    accelerated = True
    divisible = True
    # It writes nothing but checkpoints, which the daemon has: what waits for a compiler need not be waited for.
    may_be_killed = True
    program = "meshd.kinds.lineups.program"

    def __init__(self) -> None:
        """Load all sports, while the daemon starts: a spec is checked in its event loop, which reads no files."""
        for name in sports.SPORTS:
            sports.find(name)

    def validate(self, spec: Document) -> dict[str, object]:
        """Return the resolved spec: players instead of files' texts, and every default filled in.

        Raises:
            BadInput: the spec is not one of this kind.
        """
        if not is_plain(spec):
            return self._validated(_with_one_name(spec))
        given = translated(spec)
        try:
            return self._validated(given)
        except BadInput as error:
            raise in_its_words(error) from None

    def _validated(self, given: Document) -> dict[str, object]:
        sport = sports.find(_sport_of(given))
        return resolve_with_entries(given, sport) if asks_for_entries(given) else sport.resolve(given)

    def cost(self, resolved: Document) -> float | None:
        """Return the work as the sport estimates it."""
        return sports.find(resolved["sport"]).cost(resolved)

    def default_name(self, resolved: Document) -> str:
        """Return, for example, "20 lineups, Pennzoil 400"."""
        count = resolved["lineup_count"]
        lineups = "1 lineup" if count == 1 else f"{count} lineups"
        event = resolved.get("slate") or resolved.get("race_id")
        return f"{lineups}, {event}" if event else lineups


kind: Kind = LineupsKind()
"""The one instance; it holds no state."""


def _with_one_name(spec: Document) -> Document:
    """Return the spec with its scenarios under that name: they are also known as iterations."""
    if "iterations" not in spec or "scenarios" in spec:
        return spec
    return {"scenarios" if name == "iterations" else name: value for name, value in spec.items()}


def _sport_of(spec: Document) -> object:
    """Return the sport that is named, or whose file it is; where nobody can tell, the first one, which says why not."""
    if "sport" in spec:
        return spec["sport"]
    file = spec.get("slate_csv")
    if isinstance(file, str):
        slate = read_salaries(file)
        found = sports.recognise(slate.positions, slate.roles)
        if found is not None:
            return found.name
    if "players" in spec and file is None:
        raise BadInput(
            "A list of players does not tell the sport.", field="sport", hint=f"Name it: {', '.join(sports.SPORTS)}."
        )
    return sports.DEFAULT
