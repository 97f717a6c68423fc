"""People: who may do what in a workspace.

Belongs here: holding a typed name against ``workspace.yaml``.
Does not belong here: who has done what for a year (``apart``), proof of who somebody is (``signature``).

A name that is typed is attribution, not proof. No sentence here repeats one, so none reaches a log or another person's screen.
"""

from __future__ import annotations

from rate_tables.config_file import ConfigError
from validations.workspace import LONGEST_NAME, Right, Workspace, plain_name, same_name


class NotEntitled(Exception):
    """Somebody may not do this in this workspace; the message says who may change that."""


def as_listed(workspace: Workspace, name: str) -> str:
    """A name given after ``--by``, spelled as ``workspace.yaml`` does if it lists the person. ConfigError if it is no name."""
    typed = " ".join(name.split())
    try:
        if not 1 <= len(typed) <= LONGEST_NAME:
            raise ValueError(f"a name of at most {LONGEST_NAME} letters")
        plain_name(typed)
    except ValueError as allowed:
        raise ConfigError(f"--by: not allowed as it stands; allowed: {allowed}.") from None
    listed = [*workspace.file.people, *workspace.file.may_approve]
    return next((person for person in listed if same_name(person, typed)), typed)


def may(workspace: Workspace, name: str, right: Right) -> bool:
    """Whether ``workspace.yaml`` lets this person do this; without names in it, anyone may do anything."""
    file = workspace.file
    if file.people:
        return any(right in rights for person, rights in file.people.items() if same_name(person, name))
    if right == "approve" and file.may_approve:
        return any(same_name(person, name) for person in file.may_approve)
    return True


def require(workspace: Workspace, name: str, right: Right) -> None:
    """NotEntitled if this person may not do this."""
    if not may(workspace, name, right):
        key = "people" if workspace.file.people else "may_approve"
        raise NotEntitled(
            f"The person named after --by may not {right}: workspace.yaml, key {key}, does not list the name with that right. Let "
            "somebody do it who is listed, or have the list changed by whoever keeps workspace.yaml."
        )
