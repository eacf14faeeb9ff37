#!/usr/bin/python3
"""with_system_calls_of.py UNIT PROGRAM [ARGUMENT..]

Runs a program with only the system calls that a systemd unit allows, without systemd: reads SystemCallFilter= from
the unit, and expands its groups with `systemd-analyze`.
"""

import errno
import os
import subprocess
import sys

import seccomp


def calls(name):
    """The calls in one of systemd's groups, including nested groups, or the single call of this name."""
    if not name.startswith("@"):
        return {name}
    command = ["systemd-analyze", "syscall-filter", name]
    listed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    # The first line is the group's own name.
    lines = (line.strip() for line in listed.splitlines()[1:])
    return set().union(*(calls(line) for line in lines if line and not line.startswith("#")))


def allowed(unit):
    # systemd.exec(5): the calls needed to start a program are always allowed.
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
                # A call that this processor does not have.
                pass
    refusal.load()
    os.execv(command[0], command)


main()
