"""Every error Wherry raises on purpose: one root, a handful of kinds, messages that say the way out."""

from __future__ import annotations


class WherryError(Exception):
    """Root of all errors that Wherry raises on purpose. The message is one line, fit to show a user."""


class UsageError(WherryError):
    """The call itself is wrong: an unknown signature, a wrong input name, shape or type. Exit status 2."""


class LoadError(WherryError):
    """A model cannot be read: not a model, damaged, or built from something Wherry does not handle."""


class MissingKernelError(WherryError):
    """The model needs a kernel that the runtime does not have."""


class PassError(WherryError):
    """A pass met a graph that it cannot rewrite correctly."""


class PackError(WherryError):
    """A pack cannot be written or read: truncated, altered, newer, or the disk is full."""


class BudgetError(WherryError):
    """A memory budget cannot be met. The message says which one can."""


class BuildError(WherryError):
    """The slim library cannot be built: a tool is missing, a compile failed, or the audit did."""


class RuntimeFailure(WherryError):
    """The native runtime reported an error while it ran a pack."""
