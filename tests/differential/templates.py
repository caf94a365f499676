"""Pieces of worker files, as text: ways of a mapper to give its pairs, what reducers do.

In a mapper `{atoms}` are the strings of a record; `{note}` and `{all_notes}` count them, or are
nothing. A reducer gives by `give(key, value)`, which becomes an emit, a yield or an append to a
list that is returned.
"""

from __future__ import annotations

from typing import Final


def sections(text: str) -> dict[str, str]:
    """What follows each line `--- name`, by name."""
    found = {}
    for section in text.split("--- ")[1:]:
        name, _, body = section.partition("\n")
        found[name] = body.rstrip("\n")
    return found


STYLES: Final = sections("""
--- emit
for a in {atoms}:
    {note}ctx.emit(*pair(ctx, record, a))
--- emit apart
for a in {atoms}:
    {note}key, value = pair(ctx, record, a)
    ctx.emit(key, value)
--- emit_many
{all_notes}ctx.emit_many([pair(ctx, record, a) for a in {atoms}])
--- emit_many generator
{all_notes}ctx.emit_many(pair(ctx, record, a) for a in {atoms})
--- count
{all_notes}ctx.count([pair(ctx, record, a)[0] for a in {atoms}])
--- count generator
{all_notes}ctx.count(pair(ctx, record, a)[0] for a in {atoms})
--- yield
for a in {atoms}:
    {note}yield pair(ctx, record, a)
--- yield list
for a in {atoms}:
    {note}yield list(pair(ctx, record, a))
--- mixed
for at, a in enumerate({atoms}):
    {note}made = pair(ctx, record, a)
    if at % 2:
        yield made
    else:
        ctx.emit(*made)
--- many and one
for at, a in enumerate({atoms}):
    {note}made = pair(ctx, record, a)
    if at % 3:
        ctx.emit_many([made])
    else:
        ctx.emit(*made)
--- reused
row = []
for a in {atoms}:
    {note}key, value = pair(ctx, record, a)
    row.append(value)
    ctx.emit(key, row)
    row.clear()
--- return list
{all_notes}return [pair(ctx, record, a) for a in {atoms}]
--- return generator
{all_notes}return (pair(ctx, record, a) for a in {atoms})
--- return map
{all_notes}return map(lambda a: pair(ctx, record, a), {atoms})
--- return zip
{all_notes}made = [pair(ctx, record, a) for a in {atoms}]
return zip([key for key, _ in made], [value for _, value in made])
--- return values
{all_notes}return dict(enumerate(pair(ctx, record, a) for a in {atoms})).values()
""")

SHAPES: Final = sections("""
--- def
mapper
--- lambda
lambda ctx, record: mapper(ctx, record)
--- partial
functools.partial(partly, 7)
def partly(flag, ctx, record):
    return mapper(ctx, record)
--- object
Mapper()
class Mapper:
    def __call__(self, ctx, record):
        return mapper(ctx, record)
--- method
Job().run
class Job:
    def run(self, ctx, record):
        return mapper(ctx, record)
--- closure
make()
def make():
    def inner(ctx, record):
        return mapper(ctx, record)
    return inner
--- wrapped
wrapped
@functools.wraps(mapper)
def wrapped(*given):
    return mapper(*given)
""")
"""The first line is what the config names, the rest what has to be defined for it."""

BODIES: Final = sections("""
--- sum
give(key, sum(values))
--- count
give(key, sum(1 for _ in values))
--- max
give(key, max(values))
--- min
give(key, min(values))
--- top
for value in sorted(values, reverse=True)[:3]:
    give(key, value)
--- list
give(key, list(values))
--- tuple
give(key, tuple(values))
--- pass
for value in values:
    give(key, value)
--- first
for value in values:
    give(key, value)
    break
--- two
for at, value in enumerate(values):
    give(key, value)
    if at:
        break
--- flip
for value in values:
    give(value, key)
--- nothing
if code(repr(key)) % 2:
    give(key, None)
--- sorted
give(key, sorted(values))
--- sort
for value in sorted(values):
    give(key, value)
--- set
give(key, sorted(set(values)))
--- unique
for value in dict.fromkeys(values):
    give(key, value)
--- join
give(key, "".join(values))
--- glue
give(key, b"".join(values))
--- flat
give(key, [item for value in values for item in value])
--- mean
give(key, tuple(map(sum, zip(*values))))
--- merge
found = {}
for value in values:
    found.update(value)
give(key, found)
--- tally
found = {}
for value in values:
    for name, count in value.items():
        found[name] = found.get(name, 0) + count
give(key, found)
--- numbered
give(key, next_number())
--- previous
give(key, SEEN[-1] if SEEN else None)
SEEN.append(repr(key))
--- several
held = list(values)
give(key, len(held))
give((key, "first"), held[0])
--- reversed
values.reverse()
give(key, list(values))
values.clear()
--- passes
give(key, [list(values), list(values)])
""")
