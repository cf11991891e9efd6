"""The kind `command`: any program that a person could start in a terminal, on any device that allows it."""

from meshd.kinds.command.spec import kind as kind
