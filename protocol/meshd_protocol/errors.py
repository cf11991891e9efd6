"""What can go wrong between two devices: we broke the protocol, or they did.

ProtocolError
├── LocalError      this side asked its machine for something the state does not allow
└── RemoteError     the other side sent what it must not
    ├── BadMessage  bytes that are not a message, or a message with wrong fields
    └── Refused     a proof, a code or a version that does not hold
"""

from enum import StrEnum


class Code(StrEnum):
    """Why a session or a pairing ended, as it travels in the close reason. Stable."""

    BAD_MESSAGE = "bad-message"
    UNEXPECTED = "unexpected-message"
    VERSION = "version"
    NO_CODE = "no-code"
    WRONG_CODE = "wrong-code"
    OWN_DEVICE = "own-device"
    REFUSED = "refused"
    UNPAIRED = "unpaired"
    REPLACED = "replaced"
    BUSY = "busy"
    DEGRADED = "degraded"
    LEAVING = "leaving"


class ProtocolError(Exception):
    """Something in the conversation of two devices is wrong."""

    code: Code = Code.UNEXPECTED

    def __init__(self, message: str, *, code: Code | None = None) -> None:
        super().__init__(message)
        if code is not None:
            self.code = code


class LocalError(ProtocolError):
    """This side asked for a step that the state does not allow; the state is unchanged."""


class RemoteError(ProtocolError):
    """The other side sent something that it must not; the conversation is over."""


class BadMessage(RemoteError):
    """The bytes are not a message of this protocol, or a field breaks its limits."""

    code = Code.BAD_MESSAGE


class Refused(RemoteError):
    """A proof does not hold, or the other side said no; `code` says which."""

    code = Code.REFUSED
