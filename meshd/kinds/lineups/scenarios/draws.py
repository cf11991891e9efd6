"""Random numbers of one chunk: Philox4x64-10, a counter-based generator, so that any chunk is drawn on its own.

The algorithm is that of Salmon et al., "Parallel random numbers: as easy as 1, 2, 3" (2011): whole numbers only, the
same everywhere. A test holds NumPy's version of it against one written out in Python.
"""

import numpy as np
from numpy.typing import NDArray

from meshd.kinds.lineups.limits import CHUNK_SCENARIOS


class Draws:
    """The numbers of one chunk, in the order in which they are asked for."""

    def __init__(self, seed: int, chunk: int) -> None:
        """Begin at the first number of chunk `chunk` under `seed`."""
        self._bits = np.random.Philox(key=np.array([seed, chunk], np.uint64))

    def uniforms(self, lanes: int, columns: int) -> NDArray[np.uint16]:
        """Return 16-bit numbers, [lanes, CHUNK_SCENARIOS, columns]."""
        words = self._bits.random_raw(lanes * CHUNK_SCENARIOS * columns // 4)
        # The byte order is fixed, so that every processor reads the same numbers.
        numbers = words.astype("<u8", copy=False).view("<u2").astype(np.uint16, copy=False)
        return numbers.reshape(lanes, CHUNK_SCENARIOS, columns)
