"""Named settings, which stand in for those that a request does not give."""

from collections.abc import Mapping
from typing import Final, cast

import msgspec

from meshd.config import Profile
from meshd.errors import BadInput
from meshd_protocol.localapi import JobRequest

SETTINGS: Final = ("placement", "priority", "timeout_s", "retries", "offload_timeout_s", "spread")
_defaults = JobRequest(kind="", spec={})


def applied(request: JobRequest, profiles: Mapping[str, Profile]) -> JobRequest:
    """Return the request with the settings of its profile where it has none of its own.

    What a request sets to its default counts as not set.

    Raises:
        BadInput: there is no profile of that name.
    """
    if request.profile is None:
        return request
    profile = profiles.get(request.profile)
    if profile is None:
        known = ", ".join(sorted(profiles)) or "none; add [profiles.NAME] to config.toml"
        raise BadInput(f"no profile is called {request.profile!r}", field="profile", hint=f"there are: {known}")
    chosen = {
        name: getattr(profile, name)
        for name in SETTINGS
        if getattr(profile, name) is not None and getattr(request, name) == getattr(_defaults, name)
    }
    return msgspec.structs.replace(request, **chosen, spec=_over(profile.spec, request.spec))


def _over(below: Mapping[str, object], above: Mapping[str, object]) -> dict[str, object]:
    """Return the fields of both, those of `above` first; fields that hold settings of their own are merged as well.

    What says of which `kind` it is, as an objective, is one value: half of one and half of another is none.
    """
    both = {**below, **above}
    for name in below.keys() & above.keys():
        one, other = below[name], above[name]
        if isinstance(one, dict) and isinstance(other, dict) and "kind" not in one and "kind" not in other:
            both[name] = _over(cast("dict[str, object]", one), cast("dict[str, object]", other))
    return both
