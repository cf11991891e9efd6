"""The pairing code that this device shows: 6 digits, for a few minutes, for one pairing, for three tries.

It lives in memory only. A try is charged when somebody begins, not when they fail: breaking off in the middle
is a guess like any other, and guesses made side by side are all counted.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from meshd.clock import Clock
from meshd_protocol.limits import CODE_TRIES, CODE_TTL_S

_RANGE = 1_000_000
_UNBIASED = (1 << 32) // _RANGE * _RANGE
"""Draws from here up would make small codes likelier."""


@dataclass(frozen=True, slots=True)
class ShownCode:
    """The open code, as the person in front of this device sees it."""

    code: str = field(repr=False)
    expires_at: float
    """Wall clock."""

    tries_left: int


@dataclass(frozen=True, slots=True)
class Try:
    """One charged try at one code."""

    code: str = field(repr=False)
    tries_left: int
    generation: int


@dataclass(slots=True)
class _OpenCode:
    """The code, and until when, by the clock that counts sleep and by the one that people read."""

    code: str
    generation: int
    until_boot: float
    until_wall: float
    tries_left: int = CODE_TRIES


class Codes:
    """At most one open code."""

    def __init__(
        self, *, clock: Clock, token: Callable[[int], bytes], on_change: Callable[[], None] = lambda: None
    ) -> None:
        self._clock = clock
        self._token = token
        self._on_change = on_change
        self._open: _OpenCode | None = None
        self._generation = 0

    def open(self, ttl_s: float = CODE_TTL_S) -> ShownCode:
        """Show a new code, in place of any other."""
        self._generation += 1
        self._open = _OpenCode(
            code=f"{self._draw():06d}",
            generation=self._generation,
            until_boot=self._clock.boot() + ttl_s,
            until_wall=self._clock.wall() + ttl_s,
        )
        self._on_change()
        return ShownCode(self._open.code, self._open.until_wall, self._open.tries_left)

    def close(self) -> None:
        """Show no code any more; tries that are under way come too late."""
        if self._open is not None:
            self._open = None
            self._on_change()

    def showing(self) -> ShownCode | None:
        """Return the code that can still be tried, if there is one."""
        self._expire()
        if self._open is None or self._open.tries_left == 0:
            return None
        return ShownCode(self._open.code, self._open.until_wall, self._open.tries_left)

    def take(self) -> Try | None:
        """Charge one try and return it; None when no code is open."""
        self._expire()
        if self._open is None or self._open.tries_left == 0:
            return None
        self._open.tries_left -= 1
        self._on_change()
        return Try(self._open.code, self._open.tries_left, self._open.generation)

    def spend(self, attempt: Try) -> bool:
        """Use the code up for the pairing that `attempt` has proven; False when it is closed or used."""
        self._expire()
        if self._open is None or self._open.generation != attempt.generation:
            return False
        self.close()
        return True

    def _expire(self) -> None:
        """Close the code when either clock says so: one may be set back, the other may stop in sleep."""
        if self._open is not None and (
            self._clock.boot() >= self._open.until_boot or self._clock.wall() >= self._open.until_wall
        ):
            self.close()

    def _draw(self) -> int:
        while (drawn := int.from_bytes(self._token(4), "big")) >= _UNBIASED:
            pass
        return drawn % _RANGE
