"""What surrounds every call: who calls, request id, gate, log line, metrics, errors as statuses.

The servicers behind it raise the errors of the packages below and know nothing of statuses.

On the wire a call with one message is a stream of one. Every method is therefore served as a
stream: so the caller is known and refused before its message is read, a message can be
awaited for so long and no longer, and an answer that nobody takes does not hold a place.
"""

import asyncio
import inspect
import re
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, aclosing
from typing import Any, NoReturn

import grpc
import grpc.aio
from google.rpc import status_pb2

from index.acting import Actor, acting
from service.access.limits import Allowance, Allowances
from service.access.roles import Caller
from service.rpc import errors, permissions
from service.rpc.callers import (
    CallEnded,
    CallerStalled,
    MessageUndecodable,
    Patience,
    Received,
    answer,
    many_messages,
    one_message,
    receiving,
)
from service.rpc.doors import Doors
from service.rpc.gate import Gate
from service.telemetry import Metrics, Request, current, log_request

REQUEST_ID = "x-request-id"
_OURS = "copycatch.v1."
_DETAILS = "grpc-status-details-bin"
_GOOD_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}")

type Context = grpc.aio.ServicerContext[Any, Any]
type Handler = grpc.RpcMethodHandler[Any, Any]


class Front(grpc.aio.ServerInterceptor):
    """Wraps each handler; one for a server.

    Args:
        gate: asked before a message is read.
        metrics: counts what was answered.
        doors: says who calls.
        allowances: what each key may take.
        patience: how long callers may take.
    """

    def __init__(
        self,
        gate: Gate,
        metrics: Metrics,
        doors: Doors,
        allowances: Allowances,
        patience: Patience,
    ) -> None:
        self._gate, self._metrics, self._doors = gate, metrics, doors
        self._allowances, self._patience = allowances, patience

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        """Return the handler of a call, wrapped."""
        handler = await continuation(handler_call_details)
        method = handler_call_details.method.removeprefix("/")
        if handler is None:
            return None
        request_id = _request_id(handler_call_details)
        receive = receiving(handler.request_deserializer or bytes)
        if method in permissions.EVERYBODY:
            return _open_to_all(handler, receive, request_id)

        async def serve(messages: AsyncIterator[Any], context: Context) -> None:
            request = Request(request_id, method.removeprefix(_OURS))
            current.set(request)
            await self._serve(request, method, handler, messages, context)

        return grpc.stream_stream_rpc_method_handler(serve, receive, handler.response_serializer)

    async def _serve(
        self,
        request: Request,
        method: str,
        handler: Handler,
        messages: AsyncIterator[Any],
        context: Context,
    ) -> None:
        try:
            with ExitStack() as held:
                request.caller = caller = self._doors.identify(context)
                # This task, and what it starts, acts for the caller.
                acting.set(Actor(caller.key_id, request.id, request.method))
                permissions.rule_of(caller, method)
                allowance = self._allowances.of(caller)
                stream = handler.request_streaming or handler.response_streaming
                held.enter_context(allowance.call(stream=stream))
                if method.startswith(_OURS):
                    held.callback(self._gate.enter(request.method).give_back)
                held.enter_context(self._metrics.call())
                await self._call(caller, allowance, method, handler, messages, context)
        except CallerStalled as error:
            # A status would wait behind the answer that is not taken: the call is dropped.
            self._gone(request, context, error)
            raise asyncio.CancelledError from error
        except (asyncio.CancelledError, GeneratorExit):
            self._gone(request, context)
            raise
        except CallEnded:
            self._gone(request, context)
        except Exception as error:
            await self._fail(request, context, error)
        else:
            self._succeed(request, context)

    async def _call(
        self,
        caller: Caller,
        allowance: Allowance,
        method: str,
        handler: Handler,
        messages: AsyncIterator[Received],
        context: Context,
    ) -> None:
        """Hand the message or messages to the servicer, and its answers to the caller."""
        behave: Any
        if handler.request_streaming:
            argument: Any = many_messages(
                messages, allowance, self._patience, lambda: self._doors.check(caller)
            )
            behave = handler.stream_stream if handler.response_streaming else handler.stream_unary
        else:
            argument = await one_message(messages, allowance, self._patience)
            permissions.keep_to_own(caller, method, argument)
            behave = handler.unary_stream if handler.response_streaming else handler.unary_unary
        work = behave(argument, context)
        if inspect.isasyncgen(work):
            async with aclosing(work) as answers:
                async for one in answers:
                    self._doors.check(caller)
                    await answer(context.write, one, self._patience)
        elif handler.response_streaming:
            await work  # writes by itself
        else:
            await answer(context.write, await work, self._patience)

    def _succeed(self, request: Request, context: Context) -> None:
        context.set_trailing_metadata(((REQUEST_ID, request.id),))
        self._metrics.answered(request, "OK", "")
        log_request(request, "OK", "", None)

    def _gone(self, request: Request, context: Context, error: CallerStalled | None = None) -> None:
        """Note a call that nobody waits for any more."""
        left_s = context.time_remaining()
        late = left_s is not None and left_s <= 0
        code, reason = ("DEADLINE_EXCEEDED", "DEADLINE_EXPIRED") if late else ("CANCELLED", "")
        if error is not None:
            code, reason = "CANCELLED", error.reason
        self._metrics.answered(request, code, reason)
        log_request(request, code, reason, None)

    async def _fail(self, request: Request, context: Context, error: Exception) -> None:
        status = errors.status_of(error, request.id)
        code, reason = errors.code_in(status), errors.reason_in(status)
        self._metrics.answered(request, code.name, reason)
        log_request(request, code.name, reason, error if code in errors.FOR_THE_LOG else None)
        await _abort(context, status, request.id)


def _open_to_all(
    handler: Handler, receive: Callable[[bytes], Received], request_id: str
) -> Handler:
    """Return a handler of one message and one answer that only sees messages; not counted."""

    behave: Any = handler.unary_unary

    async def serve(received: Received, context: Context) -> Any:
        try:
            message = received.message
        except MessageUndecodable as error:
            await _abort(context, errors.status_of(error, request_id), request_id)
        return await behave(message, context)

    return grpc.unary_unary_rpc_method_handler(serve, receive, handler.response_serializer)


async def _abort(context: Context, status: status_pb2.Status, request_id: str) -> NoReturn:
    trailers = ((REQUEST_ID, request_id), (_DETAILS, status.SerializeToString()))
    await context.abort(errors.code_in(status), status.message, trailers)


def _request_id(details: grpc.HandlerCallDetails) -> str:
    """Return the caller's id when it is fit for a log line, a new one otherwise."""
    for key, value in details.invocation_metadata or ():
        if key == REQUEST_ID and isinstance(value, str) and _GOOD_ID.fullmatch(value):
            return value
    return uuid.uuid4().hex
