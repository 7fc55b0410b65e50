"""How many bytes of what clients send a process holds at once, and how many of them are one owner's."""

from collections.abc import Hashable


class BodyBudget:
    """Room for `most` bytes, at most half of it one owner's: a tenant's, a runner's, an address's.

    What is taken is what has come, never what was announced: who announces much and sends nothing takes no room.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._held: dict[Hashable, int] = {}
        self.held = 0

    def take(self, owner: Hashable, size: int) -> bool:
        """Whether there was room for `size` bytes more; it is taken then, and nothing otherwise."""
        of_owner = self._held.get(owner, 0) + size
        if self.held + size > self._most or of_owner > self._most // 2:
            return False
        self._held[owner] = of_owner
        self.held += size
        return True

    def give_back(self, owner: Hashable, size: int) -> None:
        """Of what was taken."""
        self.held -= size
        left = self._held[owner] - size
        if left:
            self._held[owner] = left
        else:
            del self._held[owner]
