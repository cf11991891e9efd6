"""What the attempts of peers' jobs have left here, kept until their origins have it, or for a week."""

from collections import defaultdict
from collections.abc import Sequence

from meshd.jobs.file_refs import lines_of
from meshd.jobs.pins import Pins
from meshd.net.streams import Streams, Transaction
from meshd.store import files as rows
from meshd_protocol.ids import AttemptNumber, DeviceId, JobId
from meshd_protocol.limits import OUTBOX_TTL_S
from meshd_protocol.messages import jobs as wire

Key = tuple[DeviceId, JobId, AttemptNumber]


class Deliveries:
    """Pins the blobs that peers are to fetch."""

    def __init__(self, *, streams: Streams, pins: Pins) -> None:
        self._streams = streams
        self._pins = pins
        self._digests: defaultdict[Key, list[str]] = defaultdict(list)

    async def load(self) -> None:
        """Take up what earlier runs of this daemon have stored; let go of what nobody has fetched for a week."""

        def read(transaction: Transaction) -> list[tuple[Key, str]]:
            rows.expired(transaction.connection, transaction.now - OUTBOX_TTL_S)
            return [
                ((DeviceId(row["origin"]), JobId(row["job"]), AttemptNumber(row["attempt"])), row["digest"])
                for row in rows.deliveries(transaction.connection)
            ]

        for key, digest in await self._streams.write(read):
            self._digests[key].append(digest)
            self._pins.pin([digest])

    def keep(self, transaction: Transaction, key: Key, files: Sequence[wire.FileRef]) -> None:
        """Store what an attempt has left; its blobs are pinned already."""
        if not files:
            return
        rows.deliver(transaction.connection, *key, lines_of(files), transaction.now)
        transaction.after(lambda: self._digests[key].extend(file.digest for file in files))

    def release(self, files: Sequence[wire.FileRef]) -> None:
        """Let go of what nobody will hear of."""
        self._pins.release(file.digest for file in files)

    def collected(self, transaction: Transaction, origin: DeviceId, message: wire.Collected) -> None:
        """Forget what an origin has."""
        rows.delivered(transaction.connection, origin, message.job, message.attempt)
        key = origin, JobId(message.job), AttemptNumber(message.attempt)
        transaction.after(lambda: self._pins.release(self._digests.pop(key, [])))

    def forget(self, origin: DeviceId) -> None:
        """Let go of what waits for a device that is no longer paired."""
        for key in [key for key in self._digests if key[0] == origin]:
            self._pins.release(self._digests.pop(key))

    def may_read(self, origin: DeviceId, digest: str) -> bool:
        """Return whether a blob waits for this peer."""
        return any(digest in digests for key, digests in self._digests.items() if key[0] == origin)
