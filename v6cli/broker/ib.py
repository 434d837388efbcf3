"""The only import of the IB library: ib_insync, or ib_async where that is installed instead.

The library's own throttle is off: it would queue messages and send them after they were checked. A token of this role's share
is taken before every message. Every answer is awaited to its End within a bound; one that does not come is unknown, never
empty: the library itself only logs a missing answer and goes on with nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable
from functools import cache
from typing import Any, NamedTuple, TypeVar

from v6cli import clock
from v6cli.broker.codes import Meaning, classify
from v6cli.broker.pacing import TokenBucket
from v6cli.broker.translate import number
from v6cli.errors import GatewayUnavailable

T = TypeVar("T")
Message = Callable[[int, Meaning, str], None]
ORDER_STATUS, MANAGED_ACCOUNTS = 3, 15  # message ids


class OrderStatus(NamedTuple):
    """What one message says of an order. ``filled`` and ``remaining`` are in contracts or shares, ``average`` the price of what filled."""

    order_id: int
    status: str
    filled: float
    remaining: float
    average: float | None
    perm_id: int
    client_id: int
    why_held: str


class NoAnswer(GatewayUnavailable):
    """The gateway did not answer one request to its End in time: what was asked is unknown."""


class RequestRefused(GatewayUnavailable):
    """The gateway answered a request with an error."""

    def __init__(self, what: str, meaning: Meaning, text: str) -> None:
        super().__init__(f"{what}: the gateway says {meaning.code}: {text}")
        self.meaning = meaning


class ClientIdInUse(GatewayUnavailable):
    """Another client, or the rest of a dead one, has this client id (326)."""


@cache
def _library() -> Any:
    """The installed library. It asks for a current event loop when it is imported, which Python 3.14 no longer makes.

    Where none runs it gets one that stays: its event package keeps it.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        asyncio.set_event_loop(_loop_of_import())
    try:
        import ib_async as library
    except ImportError:
        import ib_insync as library
    for name in (library.__name__, "eventkit"):
        # What the library calls errors are guesses; v6 reports the messages themselves.
        logging.getLogger(name).setLevel(logging.CRITICAL)
    return library


@cache
def _loop_of_import() -> asyncio.AbstractEventLoop:
    return asyncio.new_event_loop()


class Client:
    """One connection to the gateway, speaking v6's terms: bounded, paced, and never taking silence for an answer."""

    def __init__(self, bucket: TokenBucket, timeout: float, time_zone: str) -> None:
        self.library = _library()
        self.bucket = bucket
        self.timeout = timeout
        self.messages: list[tuple[int, Meaning, str]] = []
        self._listeners: list[Message] = []
        self._status_listeners: list[Callable[[OrderStatus], None]] = []
        self._owed: set[str] = set()
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._accounts_asked: deque[asyncio.Future[list[str]]] = deque()
        self._subscribed_to_account = False
        self._ib = self.library.IB()
        self._ib.RaiseRequestErrors = True
        self._ib.TimezoneTWS = time_zone  # of times that the gateway writes without one; this machine's would be a guess
        self._ib.client.MaxRequests = 0
        # On 1102 the library would ask for the account summary again, past our share of messages and without reading the answer.
        self._ib.errorEvent -= self._ib._onError
        self._ib.errorEvent += self._on_message
        # The library keeps what it makes of a status, not the message: the messages are heard before it.
        decoder = self._ib.client.decoder
        decoder.handlers[ORDER_STATUS] = self._hearing_status(decoder.handlers[ORDER_STATUS])
        decoder.handlers[MANAGED_ACCOUNTS] = self._hear_accounts

    async def connect(self, host: str, port: int, client_id: int) -> None:
        """Handshake and login. Raises GatewayUnavailable, ClientIdInUse; leaves nothing open when it fails."""
        client = self._ib.client
        trouble: asyncio.Future[str] = asyncio.get_running_loop().create_future()

        def failed(text: str) -> None:
            if not trouble.done():
                trouble.set_result(text)

        client.apiError += failed
        login = asyncio.ensure_future(client.connectAsync(host, port, client_id, self.timeout))
        try:
            await asyncio.wait({login, trouble}, return_when=asyncio.FIRST_COMPLETED)
            if login.done() and login.exception() is None:
                self._ib.wrapper.clientId = client_id
                return
            await self._explain_failure(login, trouble, host, port, client_id)
        finally:
            client.apiError -= failed
            if not login.done():
                login.cancel()
                await asyncio.gather(login, return_exceptions=True)

    async def _explain_failure(
        self, login: asyncio.Future[None], trouble: asyncio.Future[str], host: str, port: int, client_id: int
    ) -> None:
        place = f"{host}:{port}"
        error = login.exception() if login.done() else None
        self._ib.client.disconnect()
        if any(meaning.kind == "client-id" for _, meaning, _ in self.messages):
            raise ClientIdInUse(f"client id {client_id} is in use at {place}")
        if isinstance(error, ConnectionRefusedError):
            raise GatewayUnavailable(f"nothing listens at {place}: the IB gateway is not running, or listens elsewhere")
        if isinstance(error, TimeoutError):
            raise GatewayUnavailable(f"the IB gateway at {place} did not complete the login within {self.timeout:g} s")
        reason = str(error or (trouble.result() if trouble.done() else "it closed the connection"))
        raise GatewayUnavailable(f"cannot log in at the IB gateway {place}: {reason}")

    @property
    def connected(self) -> bool:
        """Whether the socket is open and logged in; says nothing about the link behind the gateway."""
        return bool(self._ib.client.isReady())

    @property
    def accounts(self) -> list[str]:
        """The accounts that the gateway says it manages."""
        return list(self._ib.client.getAccounts())

    @property
    def server_version(self) -> int:
        """The protocol version agreed on."""
        return int(self._ib.client.serverVersion())

    def listen(self, listener: Message) -> None:
        """Hear every message code as it comes: request or order id, meaning, IB's text."""
        self._listeners.append(listener)

    def listen_to_orders(self, listener: Callable[[OrderStatus], None]) -> None:
        """Hear each orderStatus message as it comes, of the orders that the gateway tells this client of."""
        self._status_listeners.append(listener)

    async def close(self) -> None:
        """Disconnect in good order: what was written is flushed and the socket is closed before this returns."""
        if self._ib.client.isConnected():
            self._ib.client.disconnect()
            await clock.pause(0)

    async def ask(self, what: str, request: Callable[[], Awaitable[T]], *, list_of: str = "") -> T:
        """One request awaited to its End. Raises NoAnswer, RequestRefused, GatewayUnavailable; ``what`` names the answer.

        ``list_of`` marks answers that carry no id of their request: each waits until the one before it has ended. Where that one's End
        did not come in time it may still come, and would be taken for the next one's, so no other is asked for on this connection.
        """
        async with self._turns[list_of] if list_of else contextlib.nullcontext():
            return await self._ask(what, request, list_of)

    async def _ask(self, what: str, request: Callable[[], Awaitable[T]], list_of: str) -> T:
        if list_of in self._owed:
            raise GatewayUnavailable(f"{what}: an earlier answer on this connection has not ended, so that none can be believed any more")
        await self.bucket.take()
        if not self.connected:
            raise GatewayUnavailable(f"{what}: the connection to the gateway is closed")
        if list_of:
            self._owed.add(list_of)
        try:
            async with clock.timeout(self.timeout):
                answer = await request()
            self._owed.discard(list_of)
            return answer
        except TimeoutError:
            raise NoAnswer(f"{what}: no complete answer from the gateway within {self.timeout:g} s, so it is unknown") from None
        except self.library.RequestError as error:
            raise RequestRefused(what, classify(error.code, error.message), error.message) from None
        except ConnectionError as error:
            raise GatewayUnavailable(f"{what}: the gateway closed the connection") from error

    async def positions(self) -> list[Any]:
        """Every position of every account, to the End."""
        return await self.ask("positions", self._ib.reqPositionsAsync, list_of="positions")

    async def account_values(self, account: str) -> tuple[list[Any], list[Any]]:
        """Account values and portfolio lines of one account, to the End.

        A running subscription is renewed, and what it left behind is forgotten first, so that nothing old is taken for new.
        """
        wrapper = self._ib.wrapper
        if self._subscribed_to_account and self.connected:
            await self.bucket.take()
            self._ib.client.reqAccountUpdates(False, account)
        self._subscribed_to_account = True
        wrapper.accountValues.clear()
        wrapper.portfolio.pop(account, None)
        await self.ask("account values", lambda: self._ib.reqAccountUpdatesAsync(account), list_of="account")
        return list(wrapper.accountValues.values()), list(wrapper.portfolio.get(account, {}).values())

    async def daily_profit(self, account: str) -> float | None:
        """Today's P&L of the account; None where IB has not said it within two seconds: it sends no End, only values."""
        known = self._ib.wrapper.pnlKey2ReqId.get((account, ""))
        if known is None:
            await self.bucket.take()
            if not self.connected:
                raise GatewayUnavailable("daily P&L: the connection to the gateway is closed")
            self._ib.reqPnL(account)
            known = self._ib.wrapper.pnlKey2ReqId[(account, "")]
        pnl = self._ib.wrapper.reqId2PnL[known]
        deadline = clock.monotonic() + min(2.0, self.timeout)
        while number(pnl.dailyPnL) is None and clock.monotonic() < deadline and self.connected:
            await clock.pause(0.02)
        return number(pnl.dailyPnL)

    async def executions(self) -> list[Any]:
        """The executions since the gateway's midnight, to the End."""
        return await self.ask("executions", self._ib.reqExecutionsAsync)

    async def all_open_orders(self) -> list[Any]:
        """Open orders of every client, to the End."""
        return await self.ask("open orders", self._ib.reqAllOpenOrdersAsync, list_of="open orders")

    def open_orders_so_far(self) -> list[Any]:
        """What had come of a list of open orders whose End did not: incomplete, and good for nothing but to be shown."""
        return list(self._ib.wrapper._results.get("openOrders") or [])

    async def global_cancel(self) -> None:
        """Ask IB to cancel every order of the login, those entered by hand included. Nothing answers it.

        Raises GatewayUnavailable where the connection is gone.
        """
        await self.bucket.take(cancels=True)
        if not self.connected:
            raise GatewayUnavailable("global cancel: the connection to the gateway is closed; it was not sent")
        self._ib.client.reqGlobalCancel()

    async def cancel_order(self, order_id: int) -> None:
        """Ask IB to cancel an order of this client id. Raises GatewayUnavailable where the connection is gone.

        Past the library's own method, which marks orders cancelled by guessing.
        """
        await self.bucket.take(cancels=True)
        if not self.connected:
            raise GatewayUnavailable(f"cancel of order {order_id}: the connection to the gateway is closed; it was not sent")
        self._ib.client.cancelOrder(order_id)

    async def bind_orders_by_hand(self) -> None:
        """Take over the orders that were entered by hand, as client 0: each gets an order id, below zero."""
        await self.bucket.take()
        if not self.connected:
            raise GatewayUnavailable("orders by hand: the connection to the gateway is closed")
        self._ib.client.reqAutoOpenOrders(True)

    async def own_open_orders(self) -> list[Any]:
        """Open orders of this client id, to the End; a read-only gateway refuses it."""
        return await self._ask_who_takes_orders("own open orders", self._ib.reqOpenOrdersAsync, "open orders")

    async def completed_orders(self) -> list[Any]:
        """Orders completed since the gateway's midnight, to the End; a read-only gateway refuses it."""
        return await self._ask_who_takes_orders("completed orders", lambda: self._ib.reqCompletedOrdersAsync(False), "completed orders")

    async def _ask_who_takes_orders(self, what: str, request: Callable[[], Awaitable[T]], list_of: str) -> T:
        """As ``ask``, of what a read-only gateway refuses: with a message that names no request, and no End."""
        try:
            return await self.ask(what, request, list_of=list_of)
        except NoAnswer:
            for _, meaning, _ in self.messages:
                if meaning.kind == "read-only":
                    raise NoAnswer(f"{what}: {meaning.text}; {meaning.do}") from None
            raise

    async def contract_details(self, contract: Any) -> list[Any]:
        """What IB knows of a contract, to the End."""
        return await self.ask(
            f"contract details of {contract.symbol or contract.conId}", lambda: self._ib.reqContractDetailsAsync(contract)
        )

    async def current_time(self) -> Any:
        """The gateway's clock, in UTC; also the proof that it still answers."""
        return await self.ask("current time", self._ib.reqCurrentTimeAsync)

    async def managed_accounts(self) -> list[str]:
        """The accounts that the gateway manages now: it may have been logged in anew since this connection was made."""

        def request() -> asyncio.Future[list[str]]:
            answer: asyncio.Future[list[str]] = asyncio.get_running_loop().create_future()
            self._accounts_asked.append(answer)
            self._ib.client.reqManagedAccts()
            return answer

        return await self.ask("managed accounts", request)

    async def reaches_ib(self) -> bool:
        """Whether IB itself answers: positions, orders and account the gateway tells from memory, symbols it has to ask for."""
        try:
            found = await self.ask("IB itself", lambda: self._ib.reqMatchingSymbolsAsync("SPY"))
        except NoAnswer:
            return False
        return found is not None  # the library has a time-out of its own, and says None

    def next_order_id(self, above: int = 0) -> int:
        """An order id that this client id has not used: above ``above``, and above what the gateway has listed on this connection.

        A gateway may issue low ids anew, and an order under the id of one that works would modify that. Raises GatewayUnavailable.
        """
        if not self.connected:
            raise GatewayUnavailable("there is no order id: the connection to the gateway is closed")
        self._ib.client.updateReqId(above + 1)
        return int(self._ib.client.getReqId())

    def place(self, order_id: int, contract: Any, order: Any) -> None:
        """Write one order to the socket, now: it has left when this returns, and never leaves where this raises.

        Nothing may wait in the socket's buffer before it, or it would leave behind whoever looks at the latch next. Raises
        GatewayUnavailable.
        """
        if not self.connected:
            raise GatewayUnavailable("the order was not sent: the connection to the gateway is closed")
        transport = self._ib.client.conn.transport
        if transport.get_write_buffer_size():
            raise GatewayUnavailable("the order was not sent: the gateway does not read what is sent to it")
        self._ib.client.placeOrder(order_id, contract, order)
        if transport.get_write_buffer_size():
            transport.abort()  # its end has not left, and must not leave later
            raise GatewayUnavailable("the order was not sent: the gateway does not read what is sent to it")

    async def subscribe(self, contract: Any) -> tuple[int, Any]:
        """Start one market-data line; its request id and the library's ticker for it."""
        await self.bucket.take()
        if not self.connected:
            raise GatewayUnavailable("market data: the connection to the gateway is closed")
        ticker = self._ib.reqMktData(contract)
        return int(self._ib.wrapper.ticker2ReqId["mktData"][ticker]), ticker

    async def unsubscribe(self, request: int, contract: Any) -> None:
        """End one market-data line, and let the library forget its ticker, which it would keep for ever."""
        await self.bucket.take()
        if self.connected:
            self._ib.cancelMktData(contract)
        tickers = self._ib.wrapper.tickers
        ended = self._ib.wrapper.reqId2Ticker.pop(request, None)
        for key in [key for key, ticker in tickers.items() if ticker is ended]:
            del tickers[key]

    def _hearing_status(self, handler: Callable[[list[str]], None]) -> Callable[[list[str]], None]:
        def hear(fields: list[str]) -> None:
            _, order_id, status, filled, remaining, average, perm_id, _parent, _last, client_id, why_held, *_ = fields
            said = OrderStatus(
                int(order_id), status, float(filled), float(remaining), number(average), int(perm_id), int(client_id), why_held
            )
            handler(fields)
            for listener in self._status_listeners:
                listener(said)

        return hear

    def _hear_accounts(self, fields: list[str]) -> None:
        """Answers come in the order of the requests: one that was not waited for is not taken for the next one's."""
        if self._accounts_asked and not (asked := self._accounts_asked.popleft()).done():
            asked.set_result([name for name in fields[2].split(",") if name])

    def _on_message(self, request: int, code: int, text: str, _contract: Any) -> None:
        meaning = classify(code, text)
        self.messages.append((request, meaning, text))
        del self.messages[:-500]
        for listener in self._listeners:
            listener(request, meaning, text)
