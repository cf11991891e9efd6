"""Why there is no lineup, or no other one: which of the user's rules leave none open."""

from meshd.errors import BadInput


class NoLineup(BadInput):
    """No lineup keeps all rules."""

    def __init__(self) -> None:
        super().__init__("No lineup keeps all rules.", field="constraints", hint="Drop a rule, or loosen one.")
