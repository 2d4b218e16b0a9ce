"""Answers HTTP requests, well and badly, as the path says."""

import json

from componentize_py_types import Err, Ok
from wit_world import exports
from wit_world.imports.streams import StreamError_Closed
from wit_world.imports.types import (
    Fields,
    IncomingRequest,
    Method_Other,
    OutgoingBody,
    OutgoingResponse,
    ResponseOutparam,
)

CHUNK_BYTES = 4096


class IncomingHandler(exports.IncomingHandler):
    def handle(self, request: IncomingRequest, response_out: ResponseOutparam) -> None:
        path = (request.path_with_query() or "").split("?")[0]
        match path:
            case "/echo":
                answer(response_out, 200, read(request))
            case "/reversed":
                answer(response_out, 200, read(request).decode()[::-1].encode())
            case "/seen":
                headers = {name: value.decode() for name, value in request.headers().entries()}
                seen = {"method": method(request), "path": request.path_with_query(), "headers": headers}
                answer(response_out, 200, json.dumps(seen).encode())
            case "/raise":
                raise ValueError("as asked")
            case other:
                answer(response_out, 404, f"no {other}".encode())


def method(request: IncomingRequest) -> str:
    found = request.method()
    return found.value if isinstance(found, Method_Other) else type(found).__name__.removeprefix("Method_").upper()


def read(request: IncomingRequest) -> bytes:
    parts = []
    with request.consume() as body, body.stream() as stream:
        while True:
            try:
                parts.append(stream.blocking_read(CHUNK_BYTES))
            except Err as error:
                if isinstance(error.value, StreamError_Closed):
                    return b"".join(parts)
                raise


def answer(response_out: ResponseOutparam, status: int, content: bytes) -> None:
    response = OutgoingResponse(Fields.from_list([("content-type", b"text/plain; charset=utf-8")]))
    response.set_status_code(status)
    body = response.body()
    ResponseOutparam.set(response_out, Ok(response))
    with body.write() as stream:
        for at in range(0, len(content), CHUNK_BYTES):
            stream.blocking_write_and_flush(content[at : at + CHUNK_BYTES])
    OutgoingBody.finish(body, None)
