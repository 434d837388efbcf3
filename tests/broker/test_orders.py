"""Whether the gateway takes orders at all, found out without sending one."""

from __future__ import annotations

import pytest

from v6cli.broker import orders
from v6cli.errors import GatewayUnavailable


@pytest.mark.parametrize("read_only", [False, True])
def test_a_read_only_gateway_is_known_by_what_it_refuses_to_list(stage, read_only: bool) -> None:
    async def act(stage) -> None:
        if read_only:
            stage.gateway.faults.set("read-only")
        connection = await stage.connect("look")
        stage.gateway.faults.set("farm-broken", farm="usopt")  # a message that says nothing of orders
        assert await orders.may_write(connection) is not read_only
        await connection.close()

    stage(act)


def test_what_a_read_only_gateway_does_not_list_is_unknown_for_that_reason(stage) -> None:
    async def act(stage) -> None:
        stage.gateway.faults.set("read-only")
        connection = await stage.connect("look")
        with pytest.raises(GatewayUnavailable, match=r"completed orders: the gateway's API is read-only.*; untick Read-Only API"):
            await orders.completed(connection)
        await connection.close()

    stage(act)
