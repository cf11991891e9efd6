"""The local API with its types: a method for each request, synchronous, to be used from any thread."""

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal, TypeVar
from urllib.parse import quote, urlencode

import msgspec

from meshd.client.connection import Connection
from meshd.clock import Clock, SystemClock
from meshd.errors import MeshdError, NotFound
from meshd.paths import Paths
from meshd_protocol.localapi import (
    END_STATES,
    ArtifactView,
    BlobView,
    JobAccepted,
    JobPage,
    JobRequest,
    JobsAccepted,
    JobsDeleted,
    JobSort,
    JobStats,
    JobView,
    PairingAccept,
    PairingRequest,
    PairingState,
    PairingView,
    PeerTest,
    PeerView,
    SightingView,
    StatusView,
)

T = TypeVar("T")

POLL_S = 20.0
"""How long one request waits for news of a job; the daemon allows 25 s."""

PACE_S = 0.1
"""The least time between two looks at a job: ten a second move a progress bar smoothly."""

PAIR_S = 40.0
"""A pairing waits for another device: to connect, and for a few answers."""

TEST_S = 20.0
"""Testing a connection: 5 s for each ping, at the worst, and 5 s for the job."""

CLEAR_S = 600.0
"""Deleting 100,000 jobs takes some seconds, and more when each brought a salary file."""

API = "/api/v1"


class NotUnderstood(MeshdError):
    """The daemon's answer is not of the expected shape."""

    code = "not_understood"


class Log:
    """Some of what an attempt has printed."""

    __slots__ = ("attempt", "data", "done", "end", "offset")

    def __init__(self, attempt: int, offset: int, data: bytes, end: int, done: bool) -> None:
        self.attempt = attempt
        """0: none has begun."""

        self.offset = offset
        """Of the first byte."""

        self.data = data
        self.end = end
        """How much was printed so far."""

        self.done = done
        """Whether nothing follows."""


class Client:
    """The daemon of this machine.

    Every method raises `DaemonUnreachable` when it does not answer, and the daemon's own error when it refuses.
    """

    def __init__(self, paths: Paths, *, clock: Clock | None = None) -> None:
        self.connection = Connection(paths)
        self._clock = clock or SystemClock()

    def status(self) -> StatusView:
        """Return how this device is doing."""
        return self._get("/status", StatusView)

    def pause(self) -> StatusView:
        """Let nothing new start on this device."""
        return self._post("/pause", {}, StatusView)

    def resume(self) -> StatusView:
        """Let this device take jobs again."""
        return self._post("/resume", {}, StatusView)

    def shutdown(self) -> None:
        """Ask the daemon to stop; it has not stopped yet when this returns."""
        self.connection.request("POST", f"{API}/shutdown")

    def peers(self) -> list[PeerView]:
        """Return the paired devices."""
        return self._get("/peers", list[PeerView])

    def sightings(self) -> list[SightingView]:
        """Return the devices that announce themselves."""
        return self._get("/sightings", list[SightingView])

    def test(self, device: str) -> PeerTest:
        """Find out what the connection to a peer is worth."""
        return self._post(f"/peers/{quote(device, safe='')}/test", {}, PeerTest, timeout_s=TEST_S)

    def unpair(self, device: str) -> PeerView:
        """Forget a peer, by name or id."""
        answer = self.connection.request("DELETE", f"{API}/peers/{quote(device, safe='')}")
        return _decode(answer.body, PeerView)

    def open_code(self, ttl_s: float | None = None) -> PairingView:
        """Open a code for another device to enter."""
        return self._post("/pairings", PairingRequest(ttl_s=ttl_s), PairingView)

    def pairing(self) -> PairingState:
        """Return the open code, or how the last one ended."""
        return self._get("/pairings/current", PairingState)

    def close_code(self) -> PairingState:
        """Close the open code."""
        answer = self.connection.request("DELETE", f"{API}/pairings/current")
        return _decode(answer.body, PairingState)

    def accept(self, code: str, *, device: str | None = None, address: str | None = None) -> PeerView:
        """Enter the code that another device shows."""
        request = PairingAccept(code=code, device=device, address=address)
        return self._post("/pairings/accept", request, PeerView, timeout_s=PAIR_S)

    def submit_batch(self, requests: Sequence[JobRequest]) -> JobsAccepted:
        """Submit jobs, all or none; they are on disk when this returns."""
        return self._post("/jobs/batch", {"jobs": list(requests)}, JobsAccepted)

    def submit(self, request: JobRequest, *, idempotency_key: str | None = None) -> JobAccepted:
        """Return once the job is on disk."""
        headers = {"Idempotency-Key": idempotency_key} if idempotency_key else {}
        return self._post("/jobs", request, JobAccepted, headers=headers)

    def jobs(
        self,
        *,
        states: Sequence[str] = (),
        kind: str | None = None,
        device: str | None = None,
        query: str | None = None,
        since: str | None = None,
        until: str | None = None,
        sort: JobSort | None = None,
        order: Literal["asc", "desc"] | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> JobPage:
        """Return a page of jobs, the newest first unless asked otherwise; `since` and `until` are ISO 8601."""
        wanted = {
            "state": ",".join(states),
            "kind": kind,
            "device": device,
            "q": query,
            "since": since,
            "until": until,
            "sort": sort,
            "order": order,
            "limit": limit,
            "cursor": cursor,
        }
        return self._get(f"/jobs?{urlencode({key: value for key, value in wanted.items() if value})}", JobPage)

    def job(self, job: str) -> JobView:
        """Return the job with its documents; `job` is an id or the beginning of one."""
        return self._get(f"/jobs/{quote(job, safe='')}", JobView)

    def look(self, job: str) -> JobView:
        """Return the job as it is now; with its documents only when it has ended."""
        answer = self.connection.request("GET", f"{API}/jobs/{quote(job, safe='')}/wait?timeout_s=0")
        return _decode(answer.body, JobView)

    def stats(self) -> JobStats:
        """Return figures about all jobs."""
        return self._get("/jobs/stats", JobStats)

    def cancel(self, job: str) -> JobView:
        """End the job."""
        return self._post(f"/jobs/{quote(job, safe='')}/cancel", {}, JobView)

    def rerun(self, job: str, *, idempotency_key: str | None = None) -> JobAccepted:
        """Submit the same spec once more, as a new job."""
        headers = {"Idempotency-Key": idempotency_key} if idempotency_key else {}
        return self._post(f"/jobs/{quote(job, safe='')}/rerun", {}, JobAccepted, headers=headers)

    def delete(self, job: str) -> JobsDeleted:
        """Delete a job that has ended."""
        answer = self.connection.request("DELETE", f"{API}/jobs/{quote(job, safe='')}")
        return _decode(answer.body, JobsDeleted)

    def clear(self, states: Sequence[str] = ("completed",)) -> JobsDeleted:
        """Delete all jobs that have ended in one of these states."""
        return self._post("/jobs/clear", {"states": list(states)}, JobsDeleted, timeout_s=CLEAR_S)

    def export(self, job: str, *, as_csv: bool = False) -> bytes:
        """Return the job as a document to keep, or its lineups as their site takes them."""
        path = f"{API}/jobs/{quote(job, safe='')}/export"
        return self.connection.request("GET", path + ("?format=csv" if as_csv else "")).body

    def export_all(self, write: Callable[[bytes], object]) -> None:
        """Hand all jobs to `write`, whole, a JSON document a line, in pieces of any size."""
        self.connection.stream(f"{API}/jobs/export", write)

    def blob(self, digest: str) -> BlobView:
        """Return a file that the daemon has, which it keeps for an hour more."""
        return self._get(f"/blobs/{digest}", BlobView)

    def hand_over(self, file: Path) -> BlobView:
        """Give the daemon a file, unless it has it already.

        Raises:
            OSError: the file cannot be read.
        """
        with file.open("rb") as opened:
            digest = hashlib.file_digest(opened, "sha256").hexdigest()
            size = opened.tell()
            try:
                return self.blob(digest)
            except NotFound:
                opened.seek(0)
                return _decode(self.connection.upload(f"{API}/blobs/{digest}", opened, size).body, BlobView)

    def artifacts(self, job: str) -> list[ArtifactView]:
        """Return the files that the job has made."""
        return self._get(f"/jobs/{quote(job, safe='')}/artifacts", list[ArtifactView])

    def artifact(self, job: str, name: str, write: Callable[[bytes], object]) -> None:
        """Hand a file that the job has made to `write`, in pieces of any size."""
        self.connection.stream(f"{API}/jobs/{quote(job, safe='')}/artifacts/{quote(name)}", write)

    def log(self, job: str, *, attempt: int = 0, after: int = 0, hold_s: float = 0.0) -> Log:
        """Return what an attempt, the newest without a number, has printed from byte `after` on."""
        wanted = urlencode({"attempt": attempt, "after": after, "hold_s": hold_s})
        path = f"{API}/jobs/{quote(job, safe='')}/logs?{wanted}"
        answer = self.connection.request("GET", path, timeout_s=hold_s + 10)
        told = {
            name: int(answer.headers.get(f"meshd-log-{name}", "0")) for name in ("attempt", "offset", "end", "done")
        }
        return Log(told["attempt"], told["offset"], answer.body, told["end"], bool(told["done"]))

    def permit(self, device: str, kind: str, *, allowed: bool) -> PeerView:
        """Let a peer have a kind of job done here, or no longer."""
        path = f"{API}/peers/{quote(device, safe='')}/permissions/{quote(kind, safe='')}"
        if allowed:
            return _decode(self.connection.request("PUT", path, body=b"{}").body, PeerView)
        return _decode(self.connection.request("DELETE", path).body, PeerView)

    def follow(self, job: str, *, timeout_s: float | None = None) -> Iterator[JobView]:
        """Yield the job as it is and then each time it looks different; the last one has ended, with its documents.

        Raises:
            TimeoutError: it has not ended after `timeout_s`.
        """
        until = None if timeout_s is None else self._clock.boot() + timeout_s
        seen = ""
        while True:
            asked = self._clock.boot()
            left = POLL_S if until is None else max(0.0, min(POLL_S, until - asked))
            wanted = urlencode({"seen": seen, "timeout_s": f"{left:.2f}"})
            path = f"{API}/jobs/{quote(job, safe='')}/wait?{wanted}"
            answer = self.connection.request("GET", path, timeout_s=left + 10)
            view = _decode(answer.body, JobView)
            tag = answer.headers.get("etag", "").strip('"')
            if tag != seen or view.state in END_STATES:
                seen = tag
                yield view
            if view.state in END_STATES:
                return
            if until is not None and self._clock.boot() >= until:
                raise TimeoutError
            time.sleep(max(0.0, PACE_S - (self._clock.boot() - asked)))

    def _get(self, path: str, kind: type[T]) -> T:
        return _decode(self.connection.request("GET", API + path).body, kind)

    def _post(
        self,
        path: str,
        value: object,
        kind: type[T],
        *,
        headers: dict[str, str] | None = None,
        timeout_s: float = 10.0,
    ) -> T:
        answer = self.connection.request(
            "POST", API + path, body=msgspec.json.encode(value), headers=headers, timeout_s=timeout_s
        )
        return _decode(answer.body, kind)


def _decode(body: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, RecursionError) as error:
        raise NotUnderstood(
            f"the daemon's answer is not understood: {error}",
            hint="its version differs from that of this command; restart it: meshd down, then meshd up",
        ) from None
