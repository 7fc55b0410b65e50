"""Keys in GraphQL: where they stand, and how they are replaced and deleted. No key is ever shown."""

from datetime import datetime
from typing import Annotated

import strawberry

from headrace_control.graphql.context import Info
from headrace_control.graphql.failures import Failed
from headrace_control.graphql.fields import mutation, query
from headrace_control.vault.rotation import Rotation, TenantKeys
from headrace_control.vault.shredding import Shredding
from headrace_control.vault.wrapping import Rewrapping, WrappingKey


@strawberry.type(name="TenantKeys", description="Where the tenant's keys stand.")
class TenantKeysType:
    values: int = strawberry.field(description="Values that are stored sealed.")
    remaining: int = strawberry.field(
        description="Of them under an older data key; 0 when no rotation is due."
    )
    data_keys: int = strawberry.field(
        description="The active data key, and older ones that are still needed."
    )
    active_since: datetime | None = strawberry.field(description="Null while nothing was ever sealed.")
    shredded_at: datetime | None = strawberry.field(description="When the keys were deleted, for good.")

    @classmethod
    def of(cls, keys: TenantKeys) -> "TenantKeysType":
        return cls(
            values=keys.values,
            remaining=keys.remaining,
            data_keys=keys.data_keys,
            active_since=keys.active_since,
            shredded_at=keys.shredded_at,
        )


@strawberry.type(name="WrappingKey", description="A key that wraps the tenants' data keys.")
class WrappingKeyType:
    provider: str = strawberry.field(description="`own`: a key of this deployment; `kms`: of a KMS.")
    wrapped_by: str = strawberry.field(description="The key's id.")
    data_keys: int
    tenants: int
    current: bool = strawberry.field(description="It wraps now; the others only unwrap.")

    @classmethod
    def of(cls, key: WrappingKey) -> "WrappingKeyType":
        return cls(
            provider=key.provider,
            wrapped_by=key.wrapped_by,
            data_keys=key.data_keys,
            tenants=key.tenants,
            current=key.current,
        )


@strawberry.type(name="KeyRotation", description="Where a data key's rotation stands.")
class KeyRotationType:
    resealed: int = strawberry.field(description="Values sealed anew by this call.")
    remaining: int = strawberry.field(description="Values still under an older key; 0 when it is done.")
    deleted: int = strawberry.field(description="Older keys that nothing was sealed under any more.")

    @classmethod
    def of(cls, done: Rotation) -> "KeyRotationType":
        return cls(resealed=done.resealed, remaining=done.remaining, deleted=done.deleted)


@strawberry.type(name="KeyRewrapping", description="Where the wrapping key's replacement stands.")
class KeyRewrappingType:
    rewrapped: int = strawberry.field(description="Data keys wrapped anew by this call.")
    unreadable: int = strawberry.field(description="Data keys whose wrapping key no provider knows.")
    remaining: int = strawberry.field(description="Data keys under another wrapping key; 0 when it is done.")

    @classmethod
    def of(cls, done: Rewrapping) -> "KeyRewrappingType":
        return cls(rewrapped=done.rewrapped, unreadable=done.unreadable, remaining=done.remaining)


@strawberry.type(name="KeyShredding", description="A tenant's data keys are deleted, for good.")
class KeyShreddingType:
    data_keys: int = strawberry.field(description="Data keys deleted by this call.")
    values: int = strawberry.field(description="Sealed values that went with them.")
    at: datetime = strawberry.field(description="When it was done first.")

    @classmethod
    def of(cls, done: Shredding) -> "KeyShreddingType":
        return cls(data_keys=done.data_keys, values=done.values, at=done.at)


RotateDataKeyPayload = Annotated[KeyRotationType | Failed, strawberry.union("RotateDataKeyPayload")]
RewrapDataKeysPayload = Annotated[KeyRewrappingType | Failed, strawberry.union("RewrapDataKeysPayload")]
ShredTenantKeysPayload = Annotated[KeyShreddingType | Failed, strawberry.union("ShredTenantKeysPayload")]


@strawberry.type
class KeyQuery:
    @query
    async def tenant_keys(self, info: Info) -> TenantKeysType:
        """Where the tenant's keys stand, a rotation's progress with it."""
        return TenantKeysType.of(await info.context.services.key_rotation.progress(info.context.caller))

    @query
    async def wrapping_keys(self, info: Info) -> list[WrappingKeyType]:
        """The keys that wrap data keys, over all tenants. For admins of a platform tenant."""
        found = await info.context.services.key_wrapping.keys(info.context.caller)
        return [WrappingKeyType.of(key) for key in found]


@strawberry.type
class KeyMutation:
    @mutation
    async def rotate_data_key(self, info: Info, resume: bool = False) -> RotateDataKeyPayload:
        """Seal the tenant's secrets under a fresh data key; `resume` goes on with a rotation that was cut off, or
        that had more to do than one call does."""
        done = await info.context.services.key_rotation.rotate(info.context.caller, resume=resume)
        return KeyRotationType.of(done)

    @mutation
    async def rewrap_data_keys(self, info: Info, first: int = 200) -> RewrapDataKeysPayload:
        """Wrap data keys of all tenants anew under the current wrapping key, `first` of them. For admins of a
        platform tenant; call it until `remaining` is 0."""
        return KeyRewrappingType.of(
            await info.context.services.key_wrapping.rewrap(info.context.caller, first)
        )

    @mutation
    async def shred_tenant_keys(self, info: Info, tenant: str, confirm: str) -> ShredTenantKeysPayload:
        """Delete the data keys of a tenant: its secrets can not be read by anyone again. For admins of a platform
        tenant; `confirm` is the tenant's name once more."""
        return KeyShreddingType.of(
            await info.context.services.key_shredding.shred(info.context.caller, tenant, confirm)
        )
