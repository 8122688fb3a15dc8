"""Who is calling: from the metadata of a call, or from its client certificate, to a caller.

Made and used on the event loop's thread; a look-up reads a small memory map.
"""

from collections.abc import Sequence
from typing import Any

import grpc.aio

from service.access.keys import KeyStore
from service.access.refusals import ApiKeyMissing, ApiKeyUnknown
from service.access.roles import NOBODY_ASKED, Caller

AUTHORIZATION = "authorization"
_BEARER = "bearer "


class Doors:
    """Identifies callers.

    Args:
        keys: the keys of this server; None asks nobody for one.
    """

    def __init__(self, keys: KeyStore | None) -> None:
        self._keys = keys

    def identify(self, context: "grpc.aio.ServicerContext[Any, Any]") -> Caller:
        """Return who calls. A key outranks a certificate.

        Raises:
            ApiKeyMissing, ApiKeyUnknown, ApiKeyExpired, ApiKeyRevoked, CertificateUnknown.
        """
        if self._keys is None:
            return NOBODY_ASKED
        shown = [
            value
            for name, value in context.invocation_metadata() or ()
            if name == AUTHORIZATION and isinstance(value, str)
        ]
        if shown:
            return self.identify_header(shown)
        names = _certificate_names(context.auth_context())
        if not names:
            raise ApiKeyMissing
        return self._keys.identify_certificate(names)

    def identify_header(self, shown: Sequence[str]) -> Caller:
        """Return the caller that sends these `authorization` headers, of which there may be one.

        Raises:
            ApiKeyMissing, ApiKeyUnknown, ApiKeyExpired, ApiKeyRevoked.
        """
        if self._keys is None:
            return NOBODY_ASKED
        if not shown:
            raise ApiKeyMissing
        if len(shown) > 1:
            raise ApiKeyUnknown("several `authorization` headers were sent: send one")
        if not shown[0].lower().startswith(_BEARER):
            raise ApiKeyUnknown(
                "what was sent as `authorization` does not begin with `Bearer `: send "
                "`authorization: Bearer KEY`"
            )
        return self._keys.identify(shown[0][len(_BEARER) :].strip())

    def check(self, caller: Caller) -> None:
        """Look whether a caller that was identified before may still call.

        Raises:
            ApiKeyUnknown, ApiKeyExpired, ApiKeyRevoked.
        """
        if self._keys is not None:
            self._keys.check(caller.key_id)


def _certificate_names(context: Any) -> list[str]:
    """Return the names in a verified client certificate: alternative names, or the common one."""
    for kind in ("x509_subject_alternative_name", "x509_common_name"):
        names = [bytes(one).decode(errors="surrogateescape") for one in context.get(kind, ())]
        if names:
            return names
    return []
