"""How the local API answers: JSON made from the types, and errors that say what to do."""

import difflib
import logging
import re
import secrets
from typing import TypeVar

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler

from meshd.errors import BadInput, MeshdError, NotFound, UsageError
from meshd_protocol.localapi import ErrorAnswer, ErrorBody

log = logging.getLogger(__name__)

T = TypeVar("T")

_UNKNOWN_FIELD = re.compile(r"unknown field `(.*?)`")

_HTTP_CODES = {404: "not_found", 405: "method", 413: "too_large"}


def answer(value: object, *, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    """Return `value`, a struct of `meshd_protocol.localapi` or a list of them, as JSON."""
    return web.Response(
        body=msgspec.json.encode(value), status=status, content_type="application/json", headers=headers
    )


def refusal(status: int, code: str, message: str, hint: str = "") -> web.Response:
    """Return an error."""
    return answer(ErrorAnswer(error=ErrorBody(code=code, message=message, hint=hint)), status=status)


async def body(request: web.Request, kind: type[T]) -> T:
    """Return the request's body as `kind`; an empty body is an empty object.

    Raises:
        UsageError: it is not JSON.
        BadInput: it is, but a field is missing, unknown or of the wrong type; the message says which.
    """
    data = await request.read()
    try:
        return msgspec.json.decode(data or b"{}", type=kind)
    except msgspec.ValidationError as error:
        raise _bad_field(error, kind) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UsageError(f"the body is not JSON: {error}") from None


def _bad_field(error: msgspec.ValidationError, kind: type) -> BadInput:
    text = str(error)
    if (unknown := _UNKNOWN_FIELD.search(text)) is not None:
        name, known = unknown.group(1), msgspec.structs.fields(kind)
        close = difflib.get_close_matches(name, [each.encode_name for each in known], n=1)
        hint = f"did you mean {close[0]}?" if close else "there are " + ", ".join(each.encode_name for each in known)
        return BadInput(f"there is no field {name[:64]!r}", field=name[:64], hint=hint)
    what, _, path = text.partition(" - at `$")
    field = path.strip("`.")
    what = (what[:1].lower() + what[1:]).replace("`", "")
    return BadInput(f"{field}: {what}" if field else what, field=field)


def number(request: web.Request, name: str, default: float, *, least: float, most: float) -> float:
    """Return the query parameter `name`.

    Raises:
        BadInput: it is not a number between `least` and `most`.
    """
    text = request.query.get(name)
    if text is None:
        return default
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not least <= value <= most:
        raise BadInput(f"{name}: expected a number from {least:g} to {most:g}, not {text[:32]!r}", field=name)
    return value


@web.middleware
async def errors_as_answers(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer every error in the same shape; one that nobody expected is logged, and named by an id in the answer."""
    try:
        return await handler(request)
    except MeshdError as error:
        return refusal(error.status, error.code, error.message, error.hint)
    except web.HTTPNotFound:
        return _refuse(NotFound(f"there is no {request.path[:128]}", hint="the paths are under /api/v1/"))
    except web.HTTPMethodNotAllowed as error:
        allowed = ", ".join(sorted(error.allowed_methods))
        return refusal(405, "method", f"{request.path[:128]} takes {allowed}, not {request.method}")
    except web.HTTPException as error:
        return refusal(error.status, _HTTP_CODES.get(error.status, "http"), error.reason)
    except ConnectionError:
        raise
    except Exception:
        number = secrets.token_hex(4)
        log.exception("a request failed", extra={"error": number, "method": request.method, "path": request.path})
        return refusal(500, "internal", f"something went wrong in meshd (error {number})", "the daemon's log says more")


def _refuse(error: MeshdError) -> web.Response:
    return refusal(error.status, error.code, error.message, error.hint)
