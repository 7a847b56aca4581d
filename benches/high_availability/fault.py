"""What is wrong with the harness or the machine, and not with who is measured."""


class Fault(Exception):
    """Why a round has no figures."""
