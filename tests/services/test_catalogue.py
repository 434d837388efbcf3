"""Order of services, and what an operator is told about a name that is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from v6cli.errors import BadConfiguration, UsageError
from v6cli.home import Home
from v6cli.services.backend import choose
from v6cli.services.catalogue import SERVICES, Service, services_of, start_order
from v6cli.services.supervisord import Supervisord


def test_a_service_starts_behind_what_it_depends_on() -> None:
    services = [Service("c", (), after=("b",)), Service("a", ()), Service("b", (), after=("a", "elsewhere"))]
    assert start_order(["c", "b", "a", "c"], services) == ["a", "b", "c"]
    assert start_order(["c", "a"], services) == ["a", "c"], "the order holds also where what lies between is not asked for"
    assert start_order(["c"], services) == ["c"], "what it depends on is not pulled in"


def test_an_unknown_name_is_refused_with_a_suggestion() -> None:
    with pytest.raises(UsageError, match=r"no service is called 'v6-position-synch'; did you mean v6-position-sync\?") as failure:
        start_order(["v6-position-synch"])
    assert failure.value.next_step == "the services are ib-gateway, v6-trading, v6-position-sync"


def test_services_that_wait_for_each_other_are_a_bug() -> None:
    with pytest.raises(ValueError, match="a -> b -> a"):
        start_order(["a"], [Service("a", (), after=("b",)), Service("b", (), after=("a",))])


def test_the_catalogue_is_sound() -> None:
    names = [service.name for service in SERVICES]
    assert start_order(reversed(names)) == names, "the catalogue stands in the order in which services start"
    assert all(service.argv and service.title and service.role for service in SERVICES)


def test_only_a_simulated_gateway_is_a_service() -> None:
    assert [service.name for service in services_of(simulated_gateway=True)] == ["ib-gateway", "v6-trading", "v6-position-sync"]
    assert [service.name for service in services_of(simulated_gateway=False)] == ["v6-trading", "v6-position-sync"]


def test_the_host_is_chosen_by_kind() -> None:
    assert isinstance(choose("supervisord", Home(Path("/nowhere")), SERVICES), Supervisord)
    with pytest.raises(BadConfiguration, match="initd"):
        choose("initd", Home(Path("/nowhere")), SERVICES)
