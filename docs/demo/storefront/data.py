"""What the storefront sells, to whom, and what came back: twenty-five orders, always the same."""

from dataclasses import asdict, dataclass
from typing import Any

FIRST_ORDER, ORDERS = 1001, 25

_NAMES = ("Ada Lind", "Bo Åkesson", "Chidi Obi", "Dora Weiß", "Eiji Mori")
_GOODS = ("kettle", "desk lamp", "wool blanket", "bread knife", "tea towel")


@dataclass(frozen=True, slots=True)
class Customer:
    """A person who orders. One of them gave no e-mail address, so that a notification can fail."""

    id: str
    name: str
    email: str | None
    language: str


@dataclass(frozen=True, slots=True)
class Order:
    """What was bought. `total` is in cents; payments older than `daysSincePayment` 90 are settled."""

    id: str
    customer: str
    item: str
    total: int
    currency: str
    daysSincePayment: int

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Return:
    """What the warehouse says of a parcel that came back: the share of the price to give back."""

    order: str
    condition: str
    percent: int


def customers() -> dict[str, Customer]:
    return {
        f"c{n}": Customer(f"c{n}", name, None if n == 4 else f"{name.split()[0].lower()}@example.test", "en")
        for n, name in enumerate(_NAMES, start=1)
    }


def orders() -> dict[str, Order]:
    return {
        str(number): Order(
            id=str(number),
            customer=f"c{number % len(_NAMES) + 1}",
            item=_GOODS[number % len(_GOODS)],
            total=1900 + (number - FIRST_ORDER) * 350,
            currency="EUR",
            # Every ninth payment is too old to be given back: the refund is answered 422.
            daysSincePayment=120 if number % 9 == 0 else number % 60,
        )
        for number in range(FIRST_ORDER, FIRST_ORDER + ORDERS)
    }


def returns() -> dict[str, Return]:
    found = {}
    for order in orders():
        condition, percent = (("intact", 100), ("worn", 50), ("intact", 100), ("missing", 0))[int(order) % 4]
        found[order] = Return(order, condition, percent)
    return found
