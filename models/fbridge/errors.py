"""Errors a user can correct, each a single line, and `reason`, the first line of any error."""


class FBridgeError(Exception):
    """Base of all errors a user can correct; it names the thing, the value and the way out."""


class ConfigError(FBridgeError):
    """An option or a configuration value that is not possible (exit code 2)."""


class DataError(FBridgeError):
    """A picture, video or data set that cannot be used (exit code 3)."""


class CheckpointError(FBridgeError):
    """A model that is missing, incomplete or of the wrong kind (exit code 4)."""


class DependencyError(FBridgeError):
    """A codec, package, device or disk space that this machine lacks (exit code 4)."""


class LostProcessError(FBridgeError):
    """Another process of a training run has ended, or cannot be reached (exit code 1)."""


def reason(error: BaseException) -> str:
    """The first line of an error's message; the name of its type where it has none."""
    return str(error).strip().split("\n")[0] or type(error).__name__
