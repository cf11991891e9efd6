"""One request to the daemon of this machine: bytes out, bytes in, and errors as Python has them.

`meshd status` runs in shell prompts and status bars, where its start-up is all that one notices. `http.client`
brings the email package along and takes longer to import than Python to start, so this speaks the little HTTP
that it needs, to one server, which is ours: one HTTP/1.0 request a connection, the answer up to its end.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket

from meshd import errors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import BinaryIO

    from meshd.paths import Paths

CONNECT_S = 2.0
"""Loopback answers at once, or not at all."""

ANSWER_S = 10.0
"""What is not a long poll is answered in milliseconds; a loaded machine gets some room."""

UPLOAD_S = 60.0
"""For the disk to take in a large file."""

MAX_ANSWER_BYTES = 64 << 20
"""A job with its documents is a few megabytes at most."""


class DaemonUnreachable(errors.MeshdError):
    """No daemon runs for this user, or it does not answer."""

    code = "daemon_unreachable"
    status = 503


_CLASSES = {
    known.status: known
    for known in (
        errors.UsageError,
        errors.BadInput,
        errors.NotFound,
        errors.Conflict,
        errors.PeerRefused,
        errors.PeerUnreachable,
        errors.Unauthorized,
        errors.Degraded,
    )
}


class Answer:
    """What came back with a success."""

    __slots__ = ("body", "headers", "status")

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.status = status
        self.headers = headers
        """By name in lower case."""

        self.body = body


class Connection:
    """Asks the daemon that keeps its files in `paths`; finds it anew for every request, so that it may restart."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths

    def request(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float = ANSWER_S,
    ) -> Answer:
        """Return the daemon's answer to one request.

        Raises:
            DaemonUnreachable: none runs, or it does not answer within `timeout_s`.
            MeshdError: it answered with an error; of the same class as there, with its message and hint.
        """
        port, token = self.find()
        lines = [f"{method} {path} HTTP/1.0", f"Host: 127.0.0.1:{port}", f"Authorization: Bearer {token}"]
        if body is not None or method == "POST":
            lines += ["Content-Type: application/json", f"Content-Length: {len(body or b'')}"]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        if any(not line.isascii() or not line.isprintable() for line in lines):
            raise errors.UsageError(f"{method} {path!r} holds characters that no request may hold")
        head = "\r\n".join([*lines, "", ""]).encode()
        answer = _read(_exchange(port, head + (body or b""), timeout_s))
        if answer.status >= 400:
            raise _error(answer)
        return answer

    def upload(self, path: str, file: BinaryIO, size: int) -> Answer:
        """Send `size` bytes of a file; return the answer.

        Raises:
            DaemonUnreachable: none runs, or it stopped before the end.
            MeshdError: it answered with an error.
        """
        from http.client import HTTPConnection, HTTPException

        port, token = self.find()
        connection = HTTPConnection("127.0.0.1", port, timeout=UPLOAD_S)
        headers = {
            "Authorization": f"Bearer {token}",
            "Content-Type": "application/octet-stream",
            "Content-Length": str(size),
        }
        try:
            connection.blocksize = 1 << 20
            with contextlib.suppress(ConnectionError):  # refused before its end: the answer tells why
                connection.request("PUT", path, body=file, headers=headers)
            response = connection.getresponse()
            answer = Answer(response.status, dict(response.getheaders()), response.read(MAX_ANSWER_BYTES))
        except (HTTPException, ConnectionError):
            raise DaemonUnreachable(
                "meshd stopped in the middle of a file", hint="see whether it runs: meshd status"
            ) from None
        except TimeoutError:
            raise DaemonUnreachable(f"meshd does not answer (waited {UPLOAD_S:g} s)") from None
        finally:
            connection.close()
        if answer.status >= 400:
            raise _error(answer)
        return answer

    def stream(self, path: str, write: Callable[[bytes], object]) -> None:
        """Hand an answer of any length to `write`, piece by piece, as it comes.

        Raises:
            DaemonUnreachable: none runs, or it stopped before the end; `write` may have had a part by then.
            MeshdError: it answered with an error.
        """
        # Slow to import, and worth it here only: an answer without a length tells its end in chunks.
        from http.client import HTTPConnection, HTTPException

        port, token = self.find()
        connection = HTTPConnection("127.0.0.1", port, timeout=ANSWER_S)
        try:
            connection.request("GET", path, headers={"Authorization": f"Bearer {token}"})
            response = connection.getresponse()
            if response.status >= 400:
                raise _error(Answer(response.status, {}, response.read(MAX_ANSWER_BYTES)))
            while piece := response.read(1 << 16):
                write(piece)
        except (HTTPException, ConnectionError):
            raise DaemonUnreachable(
                "meshd stopped in the middle of an answer", hint="see whether it runs: meshd status"
            ) from None
        except TimeoutError:
            raise DaemonUnreachable(f"meshd does not answer (waited {ANSWER_S:g} s)") from None
        finally:
            connection.close()

    def find(self) -> tuple[int, str]:
        """Return the daemon's port and the token that it takes; raise `DaemonUnreachable` when none runs."""
        try:
            where = json.loads(self._paths.daemon_file.read_bytes())
            port, pid = int(where["port"]), int(where["pid"])
            token = self._paths.api_token.read_text("ascii").strip()
        except FileNotFoundError:
            raise DaemonUnreachable("meshd is not running", hint="start it: meshd up") from None
        except OSError as error:
            raise DaemonUnreachable(
                f"{error.filename} cannot be read: {error.strerror}",
                hint="meshd belongs to the user who started it",
            ) from None
        except (ValueError, KeyError, TypeError):
            raise DaemonUnreachable(
                f"{self._paths.daemon_file} is damaged", hint="start meshd again: meshd up"
            ) from None
        if not alive(pid):
            raise DaemonUnreachable("meshd is not running; it did not end in order", hint="start it: meshd up")
        return port, token


def alive(pid: int) -> bool:
    """Return whether a process of this number exists; where that cannot be asked without harm, True."""
    if os.name != "posix" or pid <= 0:
        # On Windows os.kill(pid, 0) ends the process.
        return pid > 0
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _exchange(port: int, request: bytes, timeout_s: float) -> bytes:
    """Send the request and return all that comes back."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=CONNECT_S) as connection:
            connection.settimeout(timeout_s)
            connection.sendall(request)
            parts: list[bytes] = []
            size = 0
            while part := connection.recv(1 << 16):
                parts.append(part)
                size += len(part)
                if size > MAX_ANSWER_BYTES:
                    raise DaemonUnreachable("the daemon's answer has no end")
            return b"".join(parts)
    except TimeoutError:
        raise DaemonUnreachable(
            f"meshd does not answer (waited {timeout_s:g} s)", hint="restart it: meshd down, then meshd up"
        ) from None
    except OSError as error:
        raise DaemonUnreachable(f"meshd does not answer: {error.strerror}", hint="start it: meshd up") from None


def _read(data: bytes) -> Answer:
    head, blank, body = data.partition(b"\r\n\r\n")
    first, *rest = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in rest)}
    words = first.split(" ", 2)
    expected = headers.get("content-length", str(len(body)))
    if not blank or len(words) < 2 or not words[1].isdigit() or expected != str(len(body)):
        raise DaemonUnreachable("meshd stopped in the middle of an answer", hint="see whether it runs: meshd status")
    return Answer(int(words[1]), headers, body)


def _error(answer: Answer) -> errors.MeshdError:
    try:
        told = json.loads(answer.body)["error"]
        code, message, hint = str(told["code"]), str(told["message"]), str(told.get("hint", ""))
    except (ValueError, KeyError, TypeError, AttributeError):
        return errors.MeshdError(f"the daemon answered with status {answer.status}")
    # By status, not by code: a code may be finer than the classes, as `wrong_code` is a refusal.
    error = _CLASSES.get(answer.status, errors.MeshdError)(message, hint=hint)
    error.code, error.status = code, answer.status
    return error
