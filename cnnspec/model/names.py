"""Names for layers: labels where the author wrote them, kind and number elsewhere."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class NameScope:
    """One level of names: the layers and scopes inside a label, a block call or the whole net, in order."""

    entries: list[tuple[str, int | NameScope]] = field(default_factory=list)

    def add_layer(self, base: str, index: int) -> None:
        """Ask for a name made from ``base`` for the layer of this index."""
        self.entries.append((base, index))

    def add_scope(self, base: str) -> NameScope:
        """Open a level below this one."""
        scope = NameScope()
        self.entries.append((base, scope))
        return scope

    def assign(self) -> dict[int, str]:
        """Return a unique name for each layer: ``stage1.basic2.conv1``.

        A base that occurs once in its scope stays bare; others are numbered from 1 in order, after ``_`` where
        the base ends in a digit: ``conv2``, but ``relu6_2``.
        """
        names: dict[int, str] = {}
        self._assign("", names)
        return names

    def _assign(self, prefix: str, names: dict[int, str]) -> None:
        entries = [(base, entry) for base, entry in self.entries if not isinstance(entry, NameScope) or entry.entries]
        total = Counter(base for base, _ in entries)
        taken = {base for base, n in total.items() if n == 1}
        count: Counter[str] = Counter()
        for base, entry in entries:
            name = base
            if total[base] > 1:
                count[base] += 1
                numbered = f"{base}_" if base[-1].isdigit() else base
                while (name := f"{numbered}{count[base]}") in taken:
                    count[base] += 1
                taken.add(name)
            if isinstance(entry, NameScope):
                entry._assign(f"{prefix}{name}.", names)
            else:
                names[entry] = prefix + name
