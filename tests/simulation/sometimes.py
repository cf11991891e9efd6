"""What must come in at least one history of a hundred, or the simulation does not test what it claims to."""

from typing import Final

EVERYWHERE: Final = (
    "a stale result was dropped",
    "a message came again",
    "a crash between commit and effect",
    "a disk refused a write",
    "a job fell back to another device",
    "a superseded worker was stopped",
    "a late success was taken",
    "a stream was opened anew",
    "a lease ran out",
    "a running job was cancelled",
    "an attempt was too slow",
    "a worker was lost",
    "a daemon died with running workers",
    "a failed attempt was retried",
    "a finished result waited for its origin",
    "an origin woke while peers worked for it",
    "an attempt went on from a checkpoint",
    "a checkpoint was made by several attempts",
    "a bad checkpoint was dropped",
    "devices unpaired while one worked for the other",
    "a device heard late that it was unpaired",
    "a device was paired again",
)

WHOLE_NODES: Final = (
    "a blob was cut on its way",
    "another blob came than was asked for",
    "a blob of a checkpoint rotted",
    "a device was unpaired out of reach",
    "a permission was taken back while a job used it",
    "an attempt ended with its permission",
    "an attempt began before it was on disk",
    "a job was shared",
    "a part was computed on another device",
    "a part was lost",
)
"""What only whole nodes have: blobs in files, permissions, jobs on several devices."""

SOMETIMES: Final = {"A": EVERYWHERE, "B": (*EVERYWHERE, *WHOLE_NODES)}
"""By level."""
