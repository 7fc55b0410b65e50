"""What every deletion by name answers."""

import strawberry


@strawberry.type(description="What was deleted.")
class Deleted:
    name: str
