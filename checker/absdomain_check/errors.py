"""What the checker says when it does not accept."""


class Refused(Exception):
    """The certificate proves nothing of these files; the message is the reason."""


class Unreadable(Exception):
    """A file that the checker cannot read, or an operator that it does not know: nothing is said of the certificate."""
