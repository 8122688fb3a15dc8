"""Why a caller, or a key that is to be made, is refused."""

from typing import Any, ClassVar


class CallerRefused(RuntimeError):
    """Whoever calls has not shown who it is."""


class ApiKeyMissing(CallerRefused):
    """The call carries neither an API key nor a client certificate."""

    reason: ClassVar[str] = "API_KEY_MISSING"

    def __init__(self) -> None:
        super().__init__("this server asks for an API key: send `authorization: Bearer KEY`")


class ApiKeyUnknown(CallerRefused):
    """There is no such API key, or what was sent is none."""

    reason: ClassVar[str] = "API_KEY_UNKNOWN"

    def __init__(self, why: str = "there is no such API key") -> None:
        super().__init__(why)


class ApiKeyExpired(CallerRefused):
    """The API key was made for a time that has passed."""

    reason: ClassVar[str] = "API_KEY_EXPIRED"

    def __init__(self, key_id: str) -> None:
        super().__init__(f"the API key {key_id} has expired")
        self.key_id = key_id

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.key_id,)


class ApiKeyRevoked(CallerRefused):
    """The API key was revoked."""

    reason: ClassVar[str] = "API_KEY_REVOKED"

    def __init__(self, key_id: str) -> None:
        super().__init__(f"the API key {key_id} was revoked")
        self.key_id = key_id

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.key_id,)


class CertificateUnknown(CallerRefused):
    """No key stands for the caller's client certificate."""

    reason: ClassVar[str] = "CERTIFICATE_UNKNOWN"

    def __init__(self) -> None:
        super().__init__("no key stands for this client certificate, and no API key was sent")


class CertificateTaken(ValueError):
    """Another key stands for a client certificate of this name."""

    reason: ClassVar[str] = "CERTIFICATE_TAKEN"

    def __init__(self, certificate: str, key_id: str) -> None:
        super().__init__(f"key {key_id} stands for certificates of {certificate!r}; revoke it")
        self.certificate, self.key_id = certificate, key_id

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.certificate, self.key_id)
