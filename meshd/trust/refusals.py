"""Why a pairing did not work out, for the person who entered the code."""

from meshd.errors import BadInput, Conflict, MeshdError, PeerRefused
from meshd_protocol.errors import Code


class WrongCode(PeerRefused):
    """The code is not the one that the other device shows."""

    code = "wrong_code"

    def __init__(self, tries_left: int) -> None:
        left = {0: "it is burned now", 1: "1 try left"}.get(tries_left, f"{tries_left} tries left")
        hint = "look at the other device and try again" if tries_left else "show a new code on the other device"
        super().__init__(f"the code is wrong: {left}", hint=hint)
        self.tries_left = tries_left


class NoCodeOpen(PeerRefused):
    """The other device shows no code: none was asked for, or it has expired, been used or burned."""

    code = "no_code"

    def __init__(self) -> None:
        super().__init__(
            "no code is open on the other device: it has expired, was used, or was burned by wrong tries",
            hint="run `meshd pair` there to show a new one",
        )


class OwnDevice(BadInput):
    """The address leads back here."""

    code = "own_device"

    def __init__(self) -> None:
        super().__init__(
            "that is this device itself",
            field="target",
            hint="enter the code on the other device, or its address here",
        )


class VersionMismatch(PeerRefused):
    """The two devices speak no common version of the protocol."""

    code = "version"

    def __init__(self, *, upgrade_here: bool) -> None:
        where = "this device" if upgrade_here else "the other device"
        super().__init__(f"meshd on {where} is too old for the other side", hint=f"upgrade meshd on {where}")


class Busy(Conflict):
    """Too many devices try to pair at once."""

    code = "busy"

    def __init__(self) -> None:
        super().__init__("the other device is busy with other pairings", hint="try again in a few seconds")


def refusal(code: Code, reason: str, *, theirs: bool, tries_left: int = 0) -> MeshdError:
    """Return the error that tells a person why the ceremony broke off."""
    match code:
        case Code.WRONG_CODE:
            return WrongCode(tries_left)
        case Code.NO_CODE:
            return NoCodeOpen()
        case Code.OWN_DEVICE:
            return OwnDevice()
        case Code.VERSION:
            return VersionMismatch(upgrade_here=theirs)
        case Code.BUSY:
            return Busy()
        case Code.DEGRADED:
            return PeerRefused("the other device could not store the pairing", hint="look at its disk and its log")
        case _:
            return PeerRefused(
                f"the pairing was broken off: {reason}",
                hint="try again; if it happens again, somebody may be standing between the two devices",
            )
