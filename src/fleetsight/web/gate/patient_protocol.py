"""HTTP for those who say what they want in time, on the parser that the pages have.

The time for bodies is `fleetsight.web.gate.intake`'s.
"""

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from fleetsight.serve.http.head_limit import HeadLimit


class PatientProtocol(HeadLimit, H11Protocol):
    """One connection."""

    def is_in_body(self) -> bool:
        return self.conn.their_state is h11.SEND_BODY
