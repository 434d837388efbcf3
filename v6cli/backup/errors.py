"""What can be wrong with a backup.

::

    BadInput                  65
    └── BadArchive                the archive is damaged, or asks for what no backup needs
        └── NoManifest                it does not begin with a manifest: of an older layout, or not of v6
"""

from __future__ import annotations

from v6cli.errors import BadInput


class BadArchive(BadInput):
    """The archive is damaged, lies, or asks for what no backup needs. Nothing of it was used."""


class NoManifest(BadArchive):
    """The archive does not begin with a manifest: it was made by an older script, or packed anew."""
