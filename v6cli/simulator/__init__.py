"""A simulated IB gateway: an asyncio server on loopback that the unmodified IB client libraries connect to.

The control flow in one sentence: ``server`` accepts sockets, ``connection`` cuts their bytes into requests (``wire``), a
function of ``answers`` reads each request and answers it from the ``book`` (what the account holds and has ordered), the
``account`` (what that is worth) and the ``market`` (prices), all of which a ``scenario`` file describes and ``faults`` bend.
"""
