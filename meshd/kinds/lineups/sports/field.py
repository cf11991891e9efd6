"""The field of a sport with rosters: how often opponents take whom, where nobody has told it.

Opponents like points, and have a cap to keep. A player is drawn e times as often for each `temperature` points of his
mean that are left when his salary is paid, at the price of a dollar at which lineups spend about what they may. Where
salaries differ as much as they do in basketball, opponents who saw points alone would hardly ever keep the cap.

What is left of the means varies less than the means do, and by how much depends on the sport. So the temperature falls
until opponents' lineups have nine tenths of the points of the best one: people do not choose at random.
"""

from collections.abc import Sequence

from meshd.kinds.lineups.engine.opponents import WEIGHT, Field, weights_from_means, weights_from_ownership
from meshd.kinds.lineups.engine.task import FieldLine

_SPENT_PERCENT = 97
"""What lineups spend on average, of the cap: half of those drawn are above it, and are drawn again."""

_LEAST_PERCENT = 98
"""What no lineup spends less than, of that average, where it is below what opponents are said to spend."""

_STRENGTH_PERCENT = 90
"""Of the best lineup's points, what opponents' have on average: on four real slates, the best then is among the top
percent of the field in 2% to 5% of games."""

_COOLER, _TIMES = 0.8, 14
"""How the temperature falls, and how often at most: to a third of a point."""

_FINE = 1 << 20
"""Parts of a unit of score by which the price of a dollar is told."""

_DEAREST = 1 << 40
"""At a million units a dollar only the cheapest are taken."""


def field_of(
    line: FieldLine, sums: Sequence[int], races: int, salaries: Sequence[int], places: Sequence[Sequence[int]]
) -> Field:
    """Return the field that is meant; `places` tell who can be in each place of a lineup."""
    floor = line.floor
    if line.ownership is not None:
        weights = weights_from_ownership(line.ownership)
    else:
        market = _Market(sums, races, salaries, places, line.cap)
        weights = market.weights(line.temperature)
        # Early in a season the dear ones have no average: nobody takes them, and nobody can spend so much.
        floor = min(floor, market.spent(weights) * _LEAST_PERCENT // 100)
    return Field(weights, line.opponents, line.quantile, line.seed, line.cap, floor)


class _Market:
    """What players are worth to opponents who have a cap."""

    def __init__(
        self,
        sums: Sequence[int],
        races: int,
        salaries: Sequence[int],
        places: Sequence[Sequence[int]],
        cap: int | None,
    ) -> None:
        self._sums, self._races, self._salaries, self._cap = sums, races, salaries, cap
        # Those with the fewest players first: whoever is left can fill the others.
        self._places = sorted(places, key=len)
        self._parts = _parts(places)

    def weights(self, temperature: float) -> tuple[int, ...]:
        """Return weights of opponents who are as good as people are."""
        wanted = _STRENGTH_PERCENT * self._best() // 100
        found = self._at_a_fair_price(temperature)
        for _ in range(_TIMES):
            if self._expected(found, self._sums) >= wanted:
                break
            temperature *= _COOLER
            found = self._at_a_fair_price(temperature)
        return found

    def spent(self, weights: Sequence[int]) -> int:
        """Return what lineups spend on average."""
        return self._expected(weights, self._salaries)

    def _left(self, price: int) -> list[int]:
        """Return what is left of each player's points when his salary is paid."""
        return [
            total - price * salary * self._races // _FINE
            for total, salary in zip(self._sums, self._salaries, strict=True)
        ]

    def _at_a_fair_price(self, temperature: float) -> tuple[int, ...]:
        """Return weights at the lowest price at which lineups keep the cap on average."""
        low, high = -1, 0
        found = self._weights(high, temperature)
        while high < _DEAREST and not self._keeps(found):
            low, high = high, 2 * high + 1_024
            found = self._weights(high, temperature)
        while high - low > max(1, high >> 6):
            middle = (low + high) // 2
            tried = self._weights(middle, temperature)
            if self._keeps(tried):
                high, found = middle, tried
            else:
                low = middle
        return found

    def _weights(self, price: int, temperature: float) -> tuple[int, ...]:
        """Return weights; only those of players who meet in a place are held against each other."""
        left, found = self._left(price), [0] * len(self._sums)
        for part in self._parts:
            own = weights_from_means([left[column] for column in part], self._races, temperature)
            for column, weight in zip(part, own, strict=True):
                found[column] = max(1, weight) if self._sums[column] > 0 else weight
        return tuple(min(WEIGHT, weight) for weight in found)

    def _keeps(self, weights: Sequence[int]) -> bool:
        return self._cap is None or 100 * self.spent(weights) <= _SPENT_PERCENT * self._cap

    def _expected(self, weights: Sequence[int], values: Sequence[int]) -> int:
        """Return what lineups have on average, if nobody were drawn twice."""
        whole = 0
        for some in self._places:
            drawn = sum(weights[column] for column in some)
            whole += sum(weights[column] * values[column] for column in some) // max(1, drawn)
        return whole

    def _best(self) -> int:
        """Return about what the best lineup has: a bound that hardly any slate leaves more than a percent above it."""

        def bound(price: int) -> tuple[int, int]:
            left, taken = self._left(price), set[int]()
            for some in self._places:
                free = [column for column in some if column not in taken]
                if free:
                    taken.add(max(free, key=left.__getitem__))
            spent = sum(self._salaries[column] for column in taken)
            allowed = spent if self._cap is None else self._cap
            return sum(left[column] for column in taken) + price * allowed * self._races // _FINE, spent

        low, high = 0, 1_024
        least, spent = bound(0)
        while self._cap is not None and spent > self._cap and high < _DEAREST:
            least, spent = min(least, bound(high)[0]), bound(high)[1]
            low, high = high, 2 * high
        for _ in range(24):
            middle = (low + high) // 2
            value, spent = bound(middle)
            least = min(least, value)
            low, high = (middle, high) if self._cap is not None and spent > self._cap else (low, middle)
        return least


def _parts(places: Sequence[Sequence[int]]) -> list[list[int]]:
    """Return players who meet in places, each once: a quarterback and a receiver do not."""
    parts: list[set[int]] = []
    for some in places:
        met = set(some)
        apart = [part for part in parts if not part & met]
        parts = [*apart, met.union(*(part for part in parts if part & met))]
    return [sorted(part) for part in parts]
