"""Who acts, as GraphQL shows it."""

import strawberry

from headrace_control.auth.caller import Actor, ActorKind

strawberry.enum(ActorKind, description="What kind of somebody acts.")


@strawberry.type(name="Actor", description="Who acts.")
class ActorType:
    kind: ActorKind
    id: strawberry.ID
    name: str = strawberry.field(description="The key's name, or the member's e-mail address.")

    @classmethod
    def of(cls, actor: Actor) -> "ActorType":
        return cls(kind=actor.kind, id=strawberry.ID(str(actor.id)), name=actor.name)
