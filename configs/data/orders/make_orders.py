"""Writes train.jsonl and test.jsonl beside this file: orders in plain words, and the same as JSON.

    python configs/data/orders/make_orders.py

The sentences and the values are our own; the same seed writes the same files.
"""

import json
import random
from pathlib import Path

TRAIN_ROWS, TEST_ROWS = 300, 160
ITEMS = {
    "pizza": "pizzas", "salad": "salads", "curry": "curries", "sandwich": "sandwiches",
    "soup": "soups", "burger": "burgers", "lasagne": "lasagnes", "noodle box": "noodle boxes",
    "fruit bowl": "fruit bowls", "apple pie": "apple pies",
}  # fmt: skip
SIZES = {
    "small": ("small", "little", "mini", "child's"),
    "medium": ("", "", "medium", "regular", "normal-sized"),
    "large": ("large", "big", "family-size", "extra large"),
}
COUNTS = {
    1: ("a", "one", "1", "just one"),
    2: ("two", "2", "a pair of", "a couple of"),
    3: ("three", "3"),
    4: ("four", "4"),
    5: ("five", "5"),
    6: ("six", "6", "half a dozen"),
    12: ("twelve", "12", "a dozen"),
}
STREETS = (
    "Alder", "Birch", "Canal", "Dale", "Elm", "Ferry", "Garden", "Harbour", "Iris", "Juniper",
    "Kiln", "Larch", "Mill", "North", "Orchard", "Park", "Quarry", "River", "Station", "Tower",
)  # fmt: skip
KINDS = ("Street", "Road", "Lane", "Avenue", "Close")
PAYMENTS = {
    "card": ("by card", "with my Visa", "by credit card", "with a debit card"),
    "cash": ("in cash", "with coins and notes", "cash on delivery", "in banknotes"),
}
HOURS = ("twelve", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten",
         "eleven")  # fmt: skip
OPENINGS = (
    "I would like {order}", "Can I have {order}", "Please send {order}", "We need {order}",
    "Hello, {order}", "Good evening! {order}", "My order is {order}", "Could you make us {order}",
)  # fmt: skip
PLACES = (
    "to {address}", "at {address}", "for {address}", "delivered to {address}",
    "and bring it to {address}",
)  # fmt: skip
TIMES = ("at {time}", "for {time}", "around {time}", "not before {time}", "no later than {time}")
ENDINGS = ("I pay {payment}.", "We will pay {payment}.", "Payment is {payment}.", "Paid {payment}.")


def say_time(chance: random.Random, hour: int, minute: int) -> str:
    """The time of day as people say it; `hour` is from 11 to 22."""
    part = "in the morning" if hour < 12 else "in the afternoon" if hour < 18 else "in the evening"
    spoken = {
        0: f"{HOURS[hour % 12]} o'clock {part}",
        15: f"quarter past {HOURS[hour % 12]} {part}",
        30: f"half past {HOURS[hour % 12]} {part}",
        45: f"quarter to {HOURS[(hour + 1) % 12]} {part}",
    }[minute]
    half = "am" if hour < 12 else "pm"
    clock = f"{(hour - 1) % 12 + 1}:{minute:02d} {half}"
    return chance.choice([spoken, spoken, clock, f"{hour}:{minute:02d}"])


def make_row(chance: random.Random) -> tuple[str, dict[str, object]]:
    """An order in words, and its fields."""
    item, size = chance.choice(list(ITEMS)), chance.choice(list(SIZES))
    count = chance.choice(list(COUNTS))
    address = f"{chance.randint(1, 99)} {chance.choice(STREETS)} {chance.choice(KINDS)}"
    hour, minute = chance.randint(11, 21), chance.choice([0, 15, 30, 45])
    payment = chance.choice(list(PAYMENTS))
    noun = item if count == 1 else ITEMS[item]
    words = [chance.choice(COUNTS[count]), chance.choice(SIZES[size]), noun]
    order = " ".join(filter(None, words))
    parts = [
        chance.choice(PLACES).format(address=address),
        chance.choice(TIMES).format(time=say_time(chance, hour, minute)),
    ]
    chance.shuffle(parts)
    opening = chance.choice(OPENINGS).format(order=order)
    ending = chance.choice(ENDINGS).format(payment=chance.choice(PAYMENTS[payment]))
    text = f"{opening} {' '.join(parts)}. {ending}"
    fields: dict[str, object] = {
        "item": item,
        "size": size,
        "count": count,
        "address": address,
        "time": f"{hour}:{minute:02d}",
        "payment": payment,
    }
    return text, fields


def main() -> None:
    """Write both files; no address is in both."""
    chance = random.Random(7)
    train: dict[str, dict[str, object]] = {}
    test: dict[str, dict[str, object]] = {}
    while len(train) < TRAIN_ROWS:
        text, fields = make_row(chance)
        train[text] = fields
    addresses = {fields["address"] for fields in train.values()}
    while len(test) < TEST_ROWS:
        text, fields = make_row(chance)
        if fields["address"] not in addresses:
            test[text] = fields
    for name, rows in (("train", train), ("test", test)):
        lines = [
            json.dumps(
                {
                    "messages": [
                        {"role": "user", "content": text},
                        {"role": "assistant", "content": json.dumps(fields)},
                    ]
                }
            )
            for text, fields in rows.items()
        ]
        Path(__file__).with_name(f"{name}.jsonl").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
