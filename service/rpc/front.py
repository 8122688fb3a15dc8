"""What surrounds every call: request id, gate, log line, metrics, and errors as statuses.

The servicers behind it raise the errors of the packages below and know nothing of statuses.
Health and reflection pass untouched.
"""

import asyncio
import re
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Any

import grpc
import grpc.aio
from google.rpc import status_pb2

from index.acting import Actor, acting
from service.rpc import errors
from service.rpc.gate import Gate, Pass
from service.telemetry import Metrics, Request, current, log_request

REQUEST_ID = "x-request-id"
_OURS = "/copycatch.v1."
_DETAILS = "grpc-status-details-bin"
_GOOD_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}")

type Context = grpc.aio.ServicerContext[Any, Any]
type Handler = grpc.RpcMethodHandler[Any, Any]


class Front(grpc.aio.ServerInterceptor):
    """Wraps each handler of ours; one for a server.

    Args:
        gate: asked before a message is read.
        metrics: counts what was answered.
    """

    def __init__(self, gate: Gate, metrics: Metrics) -> None:
        self._gate, self._metrics = gate, metrics

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        """Return the handler of a call, wrapped, or one that refuses it."""
        handler = await continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None or not method.startswith(_OURS):
            return handler
        request = Request(_request_id(handler_call_details), method.removeprefix(_OURS))
        try:
            held = self._gate.enter(request.method)
        except Exception as error:
            return self._refusing(request, error)
        if handler.response_streaming:
            return grpc.stream_stream_rpc_method_handler(
                self._stream(request, held, handler.stream_stream),
                handler.request_deserializer,
                handler.response_serializer,
            )
        return grpc.unary_unary_rpc_method_handler(
            self._unary(request, held, handler.unary_unary),
            handler.request_deserializer,
            handler.response_serializer,
        )

    def _refusing(self, request: Request, error: Exception) -> Handler:
        """Return a handler that answers without reading: a stream may leave its input alone."""

        async def refuse(requests: AsyncIterator[bytes], context: Context) -> None:
            await self._fail(request, context, error)

        return grpc.stream_stream_rpc_method_handler(refuse)

    def _unary(self, request: Request, held: Pass, behave: Any) -> Callable[..., Awaitable[Any]]:
        async def unary(message: Any, context: Context) -> Any:
            _serve(request)
            try:
                with self._metrics.call():
                    answer = await behave(message, context)
            except asyncio.CancelledError:
                self._gone(request, context)
                raise
            except Exception as error:
                await self._fail(request, context, error)
            else:
                self._succeed(request, context)
                return answer
            finally:
                held.give_back()

        return unary

    def _stream(
        self, request: Request, held: Pass, behave: Any
    ) -> Callable[..., AsyncIterator[Any]]:
        async def stream(messages: AsyncIterator[Any], context: Context) -> AsyncIterator[Any]:
            _serve(request)
            try:
                with self._metrics.call():
                    async with aclosing(behave(messages, context)) as answers:
                        async for answer in answers:
                            yield answer
            except (asyncio.CancelledError, GeneratorExit):
                self._gone(request, context)
                raise
            except Exception as error:
                await self._fail(request, context, error)
            else:
                self._succeed(request, context)
            finally:
                held.give_back()

        return stream

    def _succeed(self, request: Request, context: Context) -> None:
        context.set_trailing_metadata(((REQUEST_ID, request.id),))
        self._metrics.answered(request, "OK", "")
        log_request(request, "OK", "", None)

    def _gone(self, request: Request, context: Context) -> None:
        """Note a call that nobody waits for any more."""
        left_s = context.time_remaining()
        late = left_s is not None and left_s <= 0
        code, reason = ("DEADLINE_EXCEEDED", "DEADLINE_EXPIRED") if late else ("CANCELLED", "")
        self._metrics.answered(request, code, reason)
        log_request(request, code, reason, None)

    async def _fail(self, request: Request, context: Context, error: Exception) -> None:
        status = errors.status_of(error, request.id)
        code, reason = errors.code_in(status), errors.reason_in(status)
        self._metrics.answered(request, code.name, reason)
        log_request(request, code.name, reason, error if code is grpc.StatusCode.INTERNAL else None)
        await context.abort(code, status.message, _trailers(request, status))


def _serve(request: Request) -> None:
    """Let this task, and what it starts, act for the caller of this call."""
    current.set(request)
    acting.set(Actor(request.principal, request.id, request.method))


def _trailers(request: Request, status: status_pb2.Status) -> tuple[tuple[str, Any], ...]:
    return ((REQUEST_ID, request.id), (_DETAILS, status.SerializeToString()))


def _request_id(details: grpc.HandlerCallDetails) -> str:
    """Return the caller's id when it is fit for a log line, a new one otherwise."""
    for key, value in details.invocation_metadata or ():
        if key == REQUEST_ID and isinstance(value, str) and _GOOD_ID.fullmatch(value):
            return value
    return uuid.uuid4().hex
