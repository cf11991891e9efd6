# pyright: basic
"""The password-authenticated key exchange: SPAKE2, from a library that ships no types.

Each side sends one half. With the same code and the same identities both end up with the same key; a wrong
guess gives another key and nothing to test further guesses against. About 10 ms of arithmetic a side: run it
in a thread.
"""

from collections.abc import Callable

from spake2 import SPAKE2_A, SPAKE2_B


class ExchangeError(Exception):
    """What the other side sent is not a half of this exchange."""


class Exchange:
    """One side of one exchange; good for a single use."""

    def __init__(
        self,
        side: type[SPAKE2_A] | type[SPAKE2_B],
        code: str,
        a: bytes,
        b: bytes,
        token: Callable[[int], bytes],
    ):
        self._spake = side(code.encode(), idA=a, idB=b, entropy_f=token)
        self.half: bytes = self._spake.start()

    def finish(self, their_half: bytes) -> bytes:
        """Return the shared key.

        Raises:
            ExchangeError: `their_half` is malformed, off the curve, of low order, or this side's own.
        """
        try:
            return self._spake.finish(their_half)
        except Exception as error:  # the library raises some of its own that share no base class
            raise ExchangeError(str(error)) from error


def initiator(code: str, identity_a: bytes, identity_b: bytes, token: Callable[[int], bytes]) -> Exchange:
    """Begin as the side that entered the code."""
    return Exchange(SPAKE2_A, code, identity_a, identity_b, token)


def responder(code: str, identity_a: bytes, identity_b: bytes, token: Callable[[int], bytes]) -> Exchange:
    """Begin as the side that shows the code."""
    return Exchange(SPAKE2_B, code, identity_a, identity_b, token)
