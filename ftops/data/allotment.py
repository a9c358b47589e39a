"""Which part of a split each group of rows goes to: class by class, in an order drawn by hashes."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from hashlib import blake2b

TRAIN = "train"


def hash_text(seed: int, text: str) -> int:
    """A number of 64 bits, the same on every machine."""
    data = f"{seed}\n{text}".encode("utf-8", "replace")
    return int.from_bytes(blake2b(data, digest_size=8).digest())


def allot(
    groups: Sequence[int],
    labels: Sequence[str] | None,
    questions: Sequence[int],
    wanted: Mapping[str, int],
    seed: int,
) -> list[str]:
    """The part of each row: groups in an order drawn by the seed, class by class."""
    members: dict[int, list[int]] = {}
    for row, group in enumerate(groups):
        members.setdefault(group, []).append(row)
    strata: dict[str, list[int]] = {}
    for group, rows in members.items():
        label = ""
        if labels is not None:
            counted = Counter(labels[row] for row in rows)
            label = min(counted, key=lambda one: (-counted[one], one))
        strata.setdefault(label, []).append(group)
    sides = [TRAIN] * len(groups)
    sizes = {label: sum(len(members[group]) for group in strata[label]) for label in strata}
    targets = {part: _share_out(sizes, count) for part, count in wanted.items()}
    for label, found in strata.items():
        drawn = {
            one: hash_text(seed, str(min(questions[row] for row in members[one]))) for one in found
        }
        left = iter(sorted(found, key=lambda one: (drawn[one], one)))
        _fill(left, len(found), {part: targets[part][label] for part in wanted}, members, sides)
    return sides


def _fill(
    groups: Iterator[int],
    count: int,
    targets: Mapping[str, int],
    members: Mapping[int, Sequence[int]],
    sides: list[str],
) -> None:
    """Give groups to the parts until each has its rows; one group always stays for training."""
    spare = count - 1
    left = dict(targets)
    for group in groups:
        rows = members[group]
        part = next((name for name, room in left.items() if len(rows) < 2 * room), None)
        if part is None or not spare:
            continue
        spare -= 1
        left[part] -= len(rows)
        for row in rows:
            sides[row] = part


def _share_out(sizes: Mapping[str, int], wanted: int) -> dict[str, int]:
    """`wanted` rows over classes by their sizes; the largest remainders get the odd ones."""
    total = sum(sizes.values())
    shares = {label: divmod(wanted * size, total) for label, size in sizes.items()}
    given = {label: whole for label, (whole, _) in shares.items()}
    odd = wanted - sum(given.values())
    for label in sorted(shares, key=lambda one: (-shares[one][1], one))[:odd]:
        given[label] += 1
    for label in given:
        given[label] = max(given[label], 1 if sizes[label] > 1 else 0)
    return given
