"""Why a clip was refused: one class and one stable code per cause."""

from fleetsight.errors import Error


class MediaError(Error):
    """A clip that cannot be used at all; a partly usable one is decoded and called degraded instead."""

    code = "media_error"


class MediaMissingError(MediaError):
    """There is no regular file at the path."""

    code = "media_missing"


class MediaEmptyError(MediaError):
    """The file has no bytes."""

    code = "media_empty"


class MediaFormatError(MediaError):
    """The first bytes belong to none of the containers on the list."""

    code = "media_format"


class MediaCodecError(MediaError):
    """The container is known, the coding of the picture is not on the list."""

    code = "media_codec"


class MediaTruncatedError(MediaError):
    """The file ends before the part without which nothing can be decoded."""

    code = "media_truncated"


class MediaCorruptError(MediaError):
    """The container is known, yet no single picture can be decoded."""

    code = "media_corrupt"


class MediaLimitError(MediaError):
    """The clip asks for more memory, pixels, frames per second or processor time than it may have."""

    code = "media_limit"


class MediaTimeoutError(MediaError):
    """The decoder did not answer in time."""

    code = "media_timeout"


class MediaNoVideoError(MediaError):
    """The file holds sound or data, and no moving picture."""

    code = "media_no_video"


class MediaCrashedError(MediaError):
    """The decoder process died before the first picture."""

    code = "media_crashed"


class MediaEncodeError(MediaError):
    """A clip cannot be written as asked."""

    code = "media_encode"
