"""Whose a home is: root works in it as its owner, and who is neither is told the line to type.

A file of root's in somebody else's home is one that its services cannot open. So a command that root runs forks before it has touched
anything of the home: the child becomes the owner for good and goes on, and this process only waits for it. The services of a home are
hosted by a supervisor of its owner's, whose control needs no root either; what does, the manager of the machine's own services, would
be asked by the process that waits.
"""

from __future__ import annotations

import os
import pwd
import shlex
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from v6cli.errors import BadConfiguration, Refused
from v6cli.home import Home

_SET_DEATH_SIGNAL, _SET_DUMPABLE, _SET_NO_NEW_PRIVILEGES = 1, 4, 38  # prctl(2)
_FROM_KERNEL = 0x80  # si_code: of the terminal, whose signals reach every process in front of it
_FIRST_OF_OTHERS = 3  # descriptor
_ROOTS_OWN = ("TMPDIR", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME")
_PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGWINCH)


def name_of(user: int) -> str:
    """The name of a user id, itself where it has none."""
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return f"#{user}"


def check_may_write(home: Home) -> None:
    """Raise Refused, with the line to type, where the home is another user's and this one may not write in it."""
    if is_strange(home.root) and not os.access(home.state_folder, os.W_OK | os.X_OK, effective_ids=True):
        raise strange(home.root)


def is_strange(folder: Path) -> bool:
    """Whether this user is neither root nor the owner."""
    return os.geteuid() not in {0, _owner_of(folder)}


def strange(folder: Path) -> Refused:
    """The refusal for who works in a home of another user's."""
    whose = name_of(_owner_of(folder))
    given = [word for word in sys.argv[1:] if not word.startswith("--home=")]
    if "--home" in given:
        del given[given.index("--home") : given.index("--home") + 2]
    line = shlex.join(["sudo", "-u", whose, "v6", "--home", str(folder), *given])
    return Refused(f"NOTHING WAS DONE: {folder} is {whose}'s, and you are {name_of(os.geteuid())}", next_step=line)


def _owner_of(folder: Path) -> int:
    """Whose a folder is, or the nearest one above it that can be looked at."""
    for place in (folder, *folder.parents):
        with suppress(OSError):
            return place.stat().st_uid
    return 0


def become(home: Home) -> None:
    """Where root works in a home of another user, go on in a child that is that user and dies with this process, which ends as it does.

    The child raises Refused where it may not become that user, BadConfiguration where that user cannot read this program.
    """
    if os.geteuid() != 0 or not home.owner:
        return  # also where it is about to be made, as root's
    found = home.root.stat()
    # Whatever arrives from here on waits until there is a child to pass it on to.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {*_PASSED_ON, signal.SIGCHLD})
    parent = os.getpid()
    child = os.fork()
    if child:
        _wait_for(child)
    os.closerange(_FIRST_OF_OTHERS, _most_descriptors())
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
    try:
        _drop(found.st_uid, found.st_gid, parent)
    except OSError as error:
        whose = name_of(found.st_uid)
        raise Refused(f"NOTHING WAS DONE: {home} is {whose}'s, whom root may not become here: {error.strerror}") from error
    _check_readable(home, found.st_uid)


def _most_descriptors() -> int:
    return min(os.sysconf("SC_OPEN_MAX"), 4096)


def _drop(user: int, group: int, parent: int) -> None:
    """Become the user for good. The kernel forgets who is to be killed with its parent when a user changes: so that comes last."""
    import ctypes

    known = None
    with suppress(KeyError):
        known = pwd.getpwuid(user)
    if known:
        os.initgroups(known.pw_name, known.pw_gid)
        group = known.pw_gid
    else:
        os.setgroups([group])
    os.setresgid(group, group, group)
    os.setresuid(user, user, user)
    kernel = ctypes.CDLL(None, use_errno=True)
    for what, value in ((_SET_NO_NEW_PRIVILEGES, 1), (_SET_DUMPABLE, 1), (_SET_DEATH_SIGNAL, signal.SIGKILL)):
        if kernel.prctl(what, value, 0, 0, 0):
            raise OSError(ctypes.get_errno(), f"prctl {what}")
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)  # it died before the kernel knew that we go with it
    for name in _ROOTS_OWN:
        os.environ.pop(name, None)
    os.environ["SUDO_USER"] = os.environ.get("SUDO_USER") or "root"  # whose act this is in the journal
    os.environ["HOME"] = known.pw_dir if known else "/"
    os.environ["USER"] = os.environ["LOGNAME"] = known.pw_name if known else str(user)


def _check_readable(home: Home, user: int) -> None:
    """Most of v6 is read when it is needed, by then as the owner."""
    needed = (Path(sys.executable), Path(__file__), Path(os.__file__))
    if unreadable := next((path for path in needed if not os.access(path, os.R_OK)), None):
        whose = name_of(user)
        raise BadConfiguration(
            f"NOTHING WAS DONE: {home} is {whose}'s, who cannot read {unreadable}",
            next_step=f"install v6 where {whose} can read it; to halt: {shlex.join(['sudo', '-u', whose, 'touch', str(home.latch / 'halt-by-root')])}",
        )


def _wait_for(child: int) -> NoReturn:
    """Pass on what is said to this process alone, and end as the child does."""
    while True:
        said = signal.sigwaitinfo({*_PASSED_ON, signal.SIGCHLD})
        if said.si_signo != signal.SIGCHLD:
            if not _reached_the_child(said):
                with suppress(ProcessLookupError):
                    os.kill(child, said.si_signo)
            continue
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            code = os.waitstatus_to_exitcode(status)
            os._exit(code if code >= 0 else 128 - code)


def _reached_the_child(said: signal.struct_siginfo) -> bool:
    """Whether a signal went to the whole process group: from the terminal, or from one of the group itself."""
    if said.si_code == _FROM_KERNEL:
        return True
    with suppress(ProcessLookupError):
        return said.si_pid != 0 and os.getpgid(said.si_pid) == os.getpgrp()
    return False
