"""Connections by role: who v6 is at the gateway, and which account it may speak for."""

from __future__ import annotations

from collections.abc import Sequence

from v6cli import clock, locks
from v6cli.broker.codes import Meaning
from v6cli.broker.ib import Client, ClientIdInUse
from v6cli.broker.pacing import TokenBucket
from v6cli.broker.together import Together
from v6cli.errors import CannotWrite, GatewayUnavailable, Refused
from v6cli.events import Note, Report
from v6cli.home import Home
from v6cli.settings import Settings

CLIENT_IDS: dict[str, Sequence[int]] = {"trading": (1,), "sync": (2,), "look": range(10, 20), "closing": (90,), "cancel": range(91, 100)}
LOOKS = 2  # looks have two shares of the login's messages; a third waits for one of them
WAIT_FOR_ID = 15.0
WAIT_FOR_LOOK = 30.0


class Connection:
    """A logged-in client with its role, its account and, for a look, the share it holds."""

    def __init__(self, client: Client, role: str, account: str, client_id: int, share: locks.Held | None) -> None:
        self.client = client
        self.role = role
        self.account = account
        self.client_id = client_id
        self._share = share
        self._farms_down: dict[str, None] = {}
        self._link_lost = False
        self._proof = Together(self._prove_that_it_reaches_ib)
        self.losses = 0  # how often the gateway said that it lost IB, or has it again
        for request, meaning, text in client.messages:
            self._hear(request, meaning, text)
        client.listen(self._hear)

    @property
    def messages(self) -> list[tuple[int, Meaning, str]]:
        """The last messages of the gateway: request or order id, meaning, IB's text."""
        return self.client.messages

    @property
    def farms_down(self) -> list[str]:
        """Data farms that the gateway calls broken, each by IB's own name; the matching OK clears its own farm only."""
        return list(self._farms_down)

    @property
    def link_lost(self) -> bool:
        """Whether the gateway last said that it lost IB (1100) without saying that it is back."""
        return self._link_lost

    async def reaches_ib(self) -> bool:
        """Whether IB can be reached behind the gateway. Asked, not remembered: who connects while the link is lost may not be told.

        Raises GatewayUnavailable where the gateway itself is gone.
        """
        return not self._link_lost and await self.client.reaches_ib()

    async def must_reach_ib(self) -> None:
        """Raise GatewayUnavailable where the gateway's word is not IB's of this account: it answers from memory, or for others.

        It is asked after this call, once for all who wait at the same time: a flatten that moves many orders would spend most of its
        messages on asking for each.
        """
        await self._proof.done()

    async def _prove_that_it_reaches_ib(self) -> None:
        if not await self.reaches_ib():
            raise GatewayUnavailable("the gateway has lost its connection to IB: what it says of account and orders may be old")
        managed = await self.client.managed_accounts()
        if self.account not in managed:
            raise GatewayUnavailable(f"the gateway manages {', '.join(managed)} now: it says nothing of {self.account} any more")

    def _hear(self, _request: int, meaning: Meaning, text: str) -> None:
        farm = text.rsplit(":", 1)[-1].strip()
        if meaning.kind == "farm-down":
            self._farms_down[farm] = None
        elif meaning.kind == "farm-up":
            self._farms_down.pop(farm, None)
        elif meaning.kind in {"lost", "restored"}:
            self._link_lost = meaning.kind == "lost"
            self.losses += 1

    async def close(self) -> None:
        """Disconnect, and let the next look have the share."""
        await self.client.close()
        if self._share:
            self._share.release()


async def connect(settings: Settings, home: Home, role: str, report: Report, *, client_id: int | None = None) -> Connection:
    """Log in under a client id of the role and make sure of the account.

    ``client_id`` stands in the place of a dead client: the gateway grants its id only once it has read that one's socket to its
    end, so whoever is let in has everything before it that the dead one ever sent. Raises GatewayUnavailable where nobody answers
    in time, ClientIdInUse where the id stays taken, Refused where the gateway manages another account than this home's.
    """
    share = await _look_share(home, report) if role == "look" else None
    try:
        client, taken = await _log_in(settings, role, CLIENT_IDS[role] if client_id is None else (client_id,), report)
        try:
            account = _pinned(settings, client.accounts)
        except Refused:
            await client.close()
            raise
    except BaseException:
        if share:
            share.release()
        raise
    return Connection(client, role, account, taken, share)


async def _look_share(home: Home, report: Report) -> locks.Held | None:
    """One of the shares; None where the home cannot be written: whoever looks there still gets an answer, uncounted."""
    deadline = clock.monotonic() + WAIT_FOR_LOOK
    told = False
    while True:
        try:
            for number in range(1, LOOKS + 1):
                if share := locks.try_hold(home.run / f"look-{number}.lock", "a look at the gateway"):
                    return share
        except CannotWrite as error:
            report(Note(f"this look is not counted among the {LOOKS} at a time: {error.message}"))
            return None
        if clock.monotonic() > deadline:
            raise GatewayUnavailable(
                f"{_who_looks(home)}: none has ended within {WAIT_FOR_LOOK:g} s", next_step="end one of them, then try again"
            )
        if not told:
            report(Note(f"waiting: {_who_looks(home)}"))
            told = True
        await clock.pause(0.1)


def _who_looks(home: Home) -> str:
    """The v6 commands that have the shares, by process."""
    holders = [locks.holder(home.run / f"look-{number}.lock") for number in range(1, LOOKS + 1)]
    return f"{LOOKS} other v6 commands look at the gateway: {', '.join(holder for holder in holders if holder)}"


async def _log_in(settings: Settings, role: str, ids: Sequence[int], report: Report) -> tuple[Client, int]:
    """Who looks or cancels takes the next id where one is in use; everybody else waits for the one there is to be free again."""
    share = getattr(settings.messages, role)
    deadline = clock.monotonic() + WAIT_FOR_ID
    told = False
    while True:
        for client_id in ids:
            client = Client(TokenBucket(share), settings.gateway.timeout, settings.gateway.time_zone)
            try:
                await client.connect(settings.gateway.host, settings.gateway.port, client_id)
            except ClientIdInUse as error:
                if len(ids) == 1 and not told:
                    report(Note(f"{error.message}: waiting for it"))
                    told = True
                continue
            return client, client_id
        if clock.monotonic() > deadline:
            named = f"client id {ids[0]} is" if len(ids) == 1 else f"client ids {ids[0]} to {ids[-1]} are all"
            raise ClientIdInUse(f"{named} still in use after {WAIT_FOR_ID:g} s", next_step="v6 services status shows who runs")
        await clock.pause(0.5)


def _pinned(settings: Settings, accounts: list[str]) -> str:
    """The account this home speaks for. Raises Refused."""
    if settings.account:
        if settings.account in accounts:
            return settings.account
        raise Refused(
            f"this home is pinned to account {settings.account}, the gateway manages {', '.join(accounts)}: the wrong gateway or the wrong home",
            next_step="check gateway.port with v6 config show",
        )
    if len(accounts) != 1:
        raise Refused(
            f"the gateway manages {len(accounts)} accounts ({', '.join(accounts)}) and this home names none",
            next_step="v6 config set account ID",
        )
    paper = accounts[0].startswith("D")
    if paper != (settings.profile != "live"):
        raise Refused(
            f"this is a {settings.profile} home, and the gateway manages {accounts[0]}", next_step="check gateway.port with v6 config show"
        )
    return accounts[0]
