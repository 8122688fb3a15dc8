"""What is kept of an API key, and its bytes."""

from dataclasses import asdict, dataclass, field

from index.records import frame, unframe
from service.access.roles import Caller, KeyLimits, Role


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key as it is kept.

    Attributes:
        id: 12 hexadecimal digits; may be shown and logged.
        secret_sha256: hexadecimal; empty when it stands for a certificate.
        certificate: name in the client certificates that it stands for, or empty.
        expire_time_ns: 0 is never.
        revoke_time_ns: 0 is not.
        use_time_ns: of the last use, to the minute; 0 is never.
    """

    id: str
    name: str
    role: Role
    brands: frozenset[str]
    secret_sha256: str
    certificate: str
    create_time_ns: int
    expire_time_ns: int = 0
    revoke_time_ns: int = 0
    use_time_ns: int = 0
    limits: KeyLimits = field(default_factory=KeyLimits)

    def state(self, now_ns: int) -> str:
        """Return `active`, `expired` or `revoked`."""
        if self.revoke_time_ns:
            return "revoked"
        return "expired" if 0 < self.expire_time_ns <= now_ns else "active"

    @property
    def caller(self) -> Caller:
        """The caller that shows this key."""
        return Caller(self.id, self.name, self.role, self.brands, self.limits)


def encode_key(key: ApiKey) -> bytes:
    """The bytes of a key, without the time of its last use."""
    values = asdict(key) | {"brands": sorted(key.brands), "role": key.role.value}
    del values["use_time_ns"]  # written far more often, and kept apart
    return frame(values)


def decode_key(data: bytes) -> ApiKey:
    """The key of these bytes. Raises RecordCorrupt."""
    values = unframe(data)
    values["role"], values["brands"] = Role(values["role"]), frozenset(values["brands"])
    values["limits"] = KeyLimits(**values["limits"])
    return ApiKey(**values)
