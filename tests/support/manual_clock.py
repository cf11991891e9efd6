"""A clock that stands still until it is told otherwise."""


class ManualClock:
    """Both readings, moved by hand."""

    def __init__(self, *, boot: float = 1000.0, wall: float = 1_700_000_000.0) -> None:
        self._boot = boot
        self._wall = wall

    def boot(self) -> float:
        return self._boot

    def wall(self) -> float:
        return self._wall

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self._boot += seconds
        self._wall += seconds

    def set_wall(self, wall: float) -> None:
        """Set the time of day, as a person or a time server does."""
        self._wall = wall
