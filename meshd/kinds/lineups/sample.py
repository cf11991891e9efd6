"""The sample slate: invented drivers, to try things with."""

from importlib import resources


def sample_slate() -> str:
    """Return the text of a salary file as DraftKings exports it."""
    return resources.files("meshd.kinds.lineups").joinpath("sample_slate.csv").read_text(encoding="utf-8")
