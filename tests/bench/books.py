"""A book of a thousand positions, as a sync would have left it in a home's mirror."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from v6cli import clock
from v6cli.home import Home
from v6cli.install import new_home
from v6cli.models import Account, Contract, Greeks, GreekSource, Position
from v6cli.state import mirror
from v6cli.state.database import open_state

ACCOUNT = "DU1234567"
UNDERLYINGS = {"SPY": (671.2, 1.0), "QQQ": (604.8, 1.0), "IWM": (241.3, 1.0), "SPX": (6712.0, 5.0)}
WEEKS = (1, 3, 6, 10, 14)
STRIKES = range(-12, 13)
QUANTITIES = (1.0, -1.0, -1.0, 1.0)


def thousand() -> tuple[list[Position], list[Greeks]]:
    """Four underlyings, five expiries, twenty-five strikes, both rights; numbers of the size that real ones have."""
    today, now = clock.today(), clock.now()
    positions, greeks = [], []
    for symbol, (spot, step) in UNDERLYINGS.items():
        for week in WEEKS:
            for number, place in enumerate(STRIKES):
                for right in "PC":
                    strike = round(spot) + place * step
                    con_id = 700_000_000 + len(positions)
                    quantity = QUANTITIES[number % 4]
                    away = (strike - spot) / spot * (1 if right == "C" else -1)
                    delta = (0.5 - min(max(away * 8, -0.45), 0.45)) * (1 if right == "C" else -1)
                    price = round(max(0.05, spot * (0.004 * week - away / 2)), 2)
                    own = Contract(
                        con_id, symbol, "OPT", today + timedelta(weeks=week), strike, right, 100.0, exchange="SMART", trading_class=symbol
                    )
                    paid = price * 100 * (1.0 + (number - 12) / 40)
                    value = price * 100 * quantity
                    positions.append(Position(ACCOUNT, own, quantity, paid, price, value, value - paid * quantity, 0.0))
                    greeks.append(Greeks(con_id, GreekSource.MODEL, now, delta, 0.031 / week, -0.18 / week, 0.21 * week, 0.17, price, spot))
    return positions, greeks


def home(folder: Path) -> Home:
    """A paper home whose mirror holds the thousand; nothing runs in it."""
    made = new_home.make(folder, "paper", account=ACCOUNT)
    positions, greeks = thousand()
    account = Account(ACCOUNT, "USD", clock.now(), 20_000_000.0, 19_000_000.0, 60_000_000.0)
    with open_state(made) as state:
        mirror.write(state, "bench", clock.now(), account, positions=positions, greeks=greeks)
    return made
