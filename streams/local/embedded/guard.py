"""Becomes the given program, tied to the life of the process that asked for it.

Run as a script with nothing but the standard library: ``guard.py PARENT_PID DEATH_SIGNAL USER KEEP_ACCESS COMMAND...``.
The kernel sends DEATH_SIGNAL when the parent dies, however it dies. USER, unless empty, is the account to run as:
Postgres refuses to run as root. With KEEP_ACCESS ``1`` that account may still enter directories closed to it, so that
a checkout below ``/root`` works without its permissions being touched.
"""

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1
PR_SET_KEEPCAPS = 8
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_RAISE = 2
CAP_DAC_OVERRIDE = 1
CAPABILITY_VERSION_3 = 0x20080522


def _become(user: str, *, keep_access: bool) -> None:
    import pwd  # noqa: PLC0415  absent on Windows, where nobody is root

    account = pwd.getpwnam(user)
    libc = ctypes.CDLL(None)
    if keep_access:
        libc.prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0)
    os.setgroups([])
    os.setgid(account.pw_gid)
    os.setuid(account.pw_uid)
    if keep_access:
        bit = 1 << CAP_DAC_OVERRIDE
        header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
        sets = (ctypes.c_uint32 * 6)(bit, bit, bit, 0, 0, 0)
        libc.capset(header, sets)
        libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_DAC_OVERRIDE, 0, 0)


def main(arguments: list[str]) -> None:
    """Do what the module says; does not return."""
    parent, death_signal, user, keep_access, *command = arguments
    if user:
        _become(user, keep_access=keep_access == "1")
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
