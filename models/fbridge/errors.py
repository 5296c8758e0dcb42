"""Mistakes a user can make and mend: one line each, never a traceback."""


class FBridgeError(Exception):
    """Base of all errors that are the user's to mend; it names thing, value and way out."""


class ConfigError(FBridgeError):
    """An option or a configuration value that cannot be (exit code 2)."""


class DataError(FBridgeError):
    """A picture, video or data set that cannot be used (exit code 3)."""


class CheckpointError(FBridgeError):
    """A model that is missing, incomplete or of another kind (exit code 4)."""


class DependencyError(FBridgeError):
    """Something of the machine that is needed and absent: a codec, a device, room (exit code 4)."""
