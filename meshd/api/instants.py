"""Instants in the query of a request."""

from datetime import date, datetime, time, timedelta

from aiohttp import web

from meshd.errors import BadInput


def instant(request: web.Request, name: str, *, end_of_day: bool = False) -> float | None:
    """Return the query parameter `name`, ISO 8601, as epoch seconds; None when it is not there.

    Without an offset it is this machine's local time. A date alone is its first instant or, with `end_of_day`,
    the first one of the day after.

    Raises:
        BadInput: it is neither.
    """
    text = request.query.get(name)
    if not text:
        return None
    try:
        if len(text) == len("2026-02-15"):
            day = date.fromisoformat(text) + timedelta(days=int(end_of_day))
            return datetime.combine(day, time()).timestamp()
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError, OSError):
        raise BadInput(
            f"{name}: expected a date or an instant, not {text[:40]!r}",
            field=name,
            hint="for example 2026-02-15 or 2026-02-15T19:30:00Z; a + in an address is written %2B",
        ) from None
