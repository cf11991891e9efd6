"""What can go wrong, told to the person who can do something about it.

MeshdError
├── UsageError          the caller asked for something that makes no sense; fix the request
│   ├── BadInput        a field, a file or a message is not what it must be
│   └── NotFound        there is no such job, peer or slate
├── Conflict            the request is fine, but not now
├── PeerRefused         the peer answered, and said no
├── PeerUnreachable     the peer did not answer
├── Unauthorized        whoever asks has no right to
└── Degraded            this machine cannot do it: disk, database, ports
"""


class MeshdError(Exception):
    """Something went wrong that a person should hear about.

    `code` is stable and for programs; `str()` is one sentence for a person; `hint` says what to try.
    """

    code = "error"
    status = 500
    """The HTTP status under which the local API reports it."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    @property
    def in_full(self) -> str:
        """What happened and what to try, on one line."""
        if not self.hint:
            return str(self)
        return f"{self} {self.hint}" if str(self).endswith((".", "!", "?")) else f"{self}: {self.hint}"


class UsageError(MeshdError):
    """The request makes no sense as it is."""

    code = "usage"
    status = 400


class BadInput(UsageError):
    """A value is not what it must be; `field` names it."""

    code = "bad_input"
    status = 422

    def __init__(self, message: str, *, field: str = "", hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.field = field


class NotFound(UsageError):
    """What was asked for does not exist here."""

    code = "not_found"
    status = 404


class Conflict(MeshdError):
    """The request is sound, but the state of things does not allow it now."""

    code = "conflict"
    status = 409


class PeerRefused(MeshdError):
    """The peer answered, and said no."""

    code = "refused"
    status = 403


class PeerUnreachable(MeshdError):
    """The peer did not answer in time, or not at all."""

    code = "unreachable"
    status = 504


class Unauthorized(MeshdError):
    """Whoever asks has not shown the right to."""

    code = "unauthorized"
    status = 401


class Degraded(MeshdError):
    """This machine cannot do it at the moment: its disk, database or ports are in the way."""

    code = "degraded"
    status = 507
