"""Chooses the key providers that the settings name."""

from headrace.errors import InvalidInput, Problem
from headrace.outbound.transport import trusted_transport
from headrace.process import opening

from headrace_control.settings import AwsSettings, ControlPlaneSettings, KeyProviderName
from headrace_control.vault.keys import KeyProvider, OwnKeys, open_key_file, read_keys
from headrace_control.vault.kms import KmsAddress, KmsKeys
from headrace_control.vault.providers import KeyRing, RememberedKeys
from headrace_control.vault.sigv4 import AwsCredentials


class OpenKeys:
    """`provider` is the one to use. `aws` is needed where the settings name a key of a KMS."""

    def __init__(self, settings: ControlPlaneSettings, aws: AwsSettings | None) -> None:
        """Raises `CanNotStart` when a key can not be read, or the KMS's settings do not fit."""
        own = _own(settings)
        with opening("kms_key_id"):
            self._kms = None if settings.kms_key_id is None else _kms(settings, settings.kms_key_id, aws)
        providers: list[KeyProvider] = []
        if self._kms is not None:
            providers.append(RememberedKeys(self._kms))
        if own is not None:
            providers.insert(0 if settings.key_provider is KeyProviderName.OWN else len(providers), own)
        self.provider = KeyRing(providers)

    async def aclose(self) -> None:
        if self._kms is not None:
            await self._kms.aclose()


def _own(settings: ControlPlaneSettings) -> OwnKeys | None:
    if settings.key_file is not None:
        with opening("key_file"):
            return open_key_file(settings.key_file)
    if settings.key is not None:
        with opening("key"):
            return read_keys(settings.key.get_secret_value())
    return None


def _kms(settings: ControlPlaneSettings, key_id: str, aws: AwsSettings | None) -> KmsKeys:
    region = settings.kms_region or (aws.region if aws else None)
    if aws is None or region is None:
        mend = "Set HEADRACE_KMS_REGION or AWS_REGION, and AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
        raise InvalidInput([Problem("kms_key_id", "the KMS's region and credentials are needed", mend)])
    token = aws.session_token.get_secret_value() if aws.session_token else None
    credentials = AwsCredentials(aws.access_key_id, aws.secret_access_key.get_secret_value(), token)
    # The endpoint is the operator's own, so the egress policy for tenants' calls is not asked.
    return KmsKeys(KmsAddress(key_id, region, settings.kms_endpoint), credentials, trusted_transport())
