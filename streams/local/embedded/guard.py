"""Becomes the given program, tied to the life of the process that asked for it.

Run as a script with nothing but the standard library: ``guard.py PARENT_PID DEATH_SIGNAL USER COMMAND...``.
The kernel sends DEATH_SIGNAL when the parent dies, however it dies. USER, unless empty, is the account to run as:
Postgres refuses to run as root.
"""

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1


def _become(user: str) -> None:
    import pwd  # noqa: PLC0415  absent on Windows, where nobody is root

    account = pwd.getpwnam(user)
    os.setgroups([])
    os.setgid(account.pw_gid)
    os.setuid(account.pw_uid)


def main(arguments: list[str]) -> None:
    """Become the program that the arguments name. Does not return."""
    parent, death_signal, user, *command = arguments
    if user:
        try:
            _become(user)
        except (KeyError, OSError) as error:
            sys.exit(f"root cannot become the account {user}, which {command[0]} is to run as: {error}")
    if sys.platform == "linux":
        # After the change of account, which would clear it.
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0)
        if os.getppid() != int(parent):
            sys.exit("the process that started this one is gone")
    try:
        os.execv(command[0], command)  # noqa: S606  no shell is wanted
    except OSError as error:
        sys.exit(f"{command[0]} cannot be run: {error.strerror}")


if __name__ == "__main__":
    main(sys.argv[1:])
