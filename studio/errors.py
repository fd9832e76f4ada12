"""The exceptions whose text is meant for people."""


class StudioError(Exception):
    """An expected failure, in words for the person at the screen.

    message: one clear sentence on what is wrong.
    hint: one sentence on what to do about it; may be empty.
    The browser shows both as a toast, the command line prints them and exits 2.
    """

    def __init__(self, message: str, hint: str = ""):
        super().__init__(f"{message} {hint}".strip())
        self.message = message
        self.hint = hint

    def __reduce__(self):
        return (type(self), (self.message, self.hint))


class NoRoom(StudioError):
    """The disk is too full for what would be written."""


class NotFinite(StudioError):
    """A network gave values that are no numbers (NaN or infinity), of which no picture can be made."""
