"""A simulated IB gateway: an asyncio server on loopback that the unmodified IB client libraries connect to.

The control flow in one sentence: ``server`` accepts sockets, ``connection`` cuts their bytes into requests (``wire``), a
function of ``answers`` reads each request and answers it from the ``account`` (what is held, and what that is worth), the
``book`` (orders) and the ``market`` (prices), all of which a ``scenario`` file describes and ``faults`` bend.

An order goes ``answers.place_order`` -> ``desk`` (may it be placed: ``checks``, ``funds``) -> ``floor`` (does it wait, trigger
or fill: ``matching``) -> ``filling`` (the one place that moves cash and positions) -> ``answers.announce`` (who is told).
"""
