"""What a job prints, passed on to this terminal as it comes."""

import time
from typing import Protocol

from meshd.cli.screen import say
from meshd.client.local import Client
from meshd_protocol.localapi import END_STATES

PAUSE_S = 0.1
"""Between two looks at a job that has not begun, or begins anew."""


class Stream(Protocol):
    """Where it goes."""

    def write(self, data: bytes, /) -> int:
        """Take some bytes."""
        ...

    def flush(self) -> None:
        """Show them."""
        ...


class Printer:
    """Follows the attempts of a job, one after the other."""

    def __init__(self, client: Client, job: str, stream: Stream, *, attempt: int = 0) -> None:
        """With an `attempt`, follow this one and no other."""
        self._client = client
        self._job = job
        self._stream = stream
        self._only = attempt
        self._attempt = attempt
        self._after: int = 0
        self.is_done = False
        """Whether nothing follows: all attempts so far are over, and what they printed was passed on."""

    def step(self, *, hold_s: float) -> bool:
        """Pass on what there is, waiting up to `hold_s` for it; return whether there was something."""
        page = self._client.log(self._job, attempt=self._attempt, after=self._after, hold_s=hold_s)
        if page.attempt and not self._attempt:
            self._attempt = page.attempt
        if page.offset > self._after:
            say(f"--- {page.offset - self._after:,} bytes are gone: too much was printed ---")
        if page.data:
            self._stream.write(page.data)
            self._stream.flush()
            self._after = page.offset + len(page.data)
        self.is_done = page.done
        if page.done and not self._only:
            self._turn_to_next()
        elif not page.attempt:
            time.sleep(PAUSE_S)
        return bool(page.data)

    def _turn_to_next(self) -> None:
        """Go on with a newer attempt, if there is one by now."""
        view = self._client.look(self._job)
        newer = [each.number for each in view.attempts if each.units is None and each.number > self._attempt]
        if newer:
            self._attempt, self._after, self.is_done = newer[0], 0, False
        elif view.state not in END_STATES:
            self.is_done = False
            time.sleep(PAUSE_S)
