#!/usr/bin/python3
"""with-the-calls-of.py UNIT PROGRAM [ARGUMENT..]

Runs a program with the system calls that a unit of systemd allows, where no systemd runs: SystemCallFilter= is read
from the unit, and what it means from `systemd-analyze`.
"""

import errno
import os
import subprocess
import sys

import seccomp


def calls(name):
    """The calls in a group of systemd's, and in the groups in it; or the one call of this name."""
    if not name.startswith("@"):
        return {name}
    command = ["systemd-analyze", "syscall-filter", name]
    listed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    # The first line is the group's own name.
    lines = (line.strip() for line in listed.splitlines()[1:])
    return set().union(*(calls(line) for line in lines if line and not line.startswith("#")))


def allowed(unit):
    # systemd.exec(5): what is needed to begin is always allowed.
    names = calls("@default")
    for line in unit:
        key, _, value = line.strip().partition("=")
        if key == "SystemCallFilter":
            group = set().union(*(calls(name) for name in value.lstrip("~").split()))
            names = names - group if value.startswith("~") else names | group
    return names


def main():
    unit, *command = sys.argv[1:]
    refusal = seccomp.SyscallFilter(seccomp.ERRNO(errno.EPERM))
    with open(unit, encoding="utf-8") as lines:
        for name in sorted(allowed(lines)):
            try:
                refusal.add_rule(seccomp.ALLOW, name)
            except RuntimeError:
                # A call of other processors.
                pass
    refusal.load()
    os.execv(command[0], command)


main()
