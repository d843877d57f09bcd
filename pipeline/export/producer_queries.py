"""The questions of `pipeline.export.producers`, as SQL over the views that the export service may read.

Intervals are many: 50 busy producers make 8 million rows in half a month. In a block of 65,536 numbers they nearly always follow
one another, and then the hashes of their edges add up to those of the block's two ends: so a block costs a few numbers in memory,
and only the edges in blocks where that is not so are looked at one by one.
"""

from __future__ import annotations

BLOCK = 65_536
MOST_BLOCKS, MOST_BROKEN, MOST_BOUNDARIES = 400_000, 20_000, 1_000_000
MOST_EDGES, MOST_DROPS, MOST_LOSSES = 20_000, 20_000, 100
# Numbers end one before Int64 does, so that what is behind the last one has a number too.
INTERVALS = f"""
SELECT producer_id, producer_epoch, intDiv(low, {BLOCK}) AS block,
       least(first, {2**63 - 2}) AS low, least(last, {2**63 - 2}) + 1 AS high,
       if(kind = 'stored' AND kafka_timestamp >= fromUnixTimestamp64Milli({{until:Int64}}), 'late', toString(kind)) AS fate
FROM {{view}} WHERE first <= last AND kafka_topic_id = {{topic_id:String}}
  AND kafka_offset < {{ends:Array(Int64)}}[kafka_partition + 1]
"""  # noqa: S608
ISLANDS = f"""
SELECT producer_id, producer_epoch, fate, block, min(low) AS begin, max(high) AS end,
       sum(sipHash64(high) - sipHash64(low)) AS summed, sipHash64(end) - sipHash64(begin) AS whole,
       summed IN (whole, 2 * whole, 3 * whole) AS unbroken
FROM ({INTERVALS}) GROUP BY producer_id, producer_epoch, fate, block LIMIT {MOST_BLOCKS + 1}
"""  # noqa: S608
BOUNDARIES = f"""
SELECT producer_id, producer_epoch, fate, edge.1 AS number, sum(edge.2) AS steps FROM (
    SELECT producer_id, producer_epoch, fate, arrayJoin([(low, 1), (high, -1)]) AS edge
    FROM ({INTERVALS}) WHERE (producer_id, producer_epoch, fate, block) IN (
        SELECT e.1, e.2, e.3, e.4 FROM (SELECT arrayJoin(arrayZip(
            {{producers:Array(String)}}, {{epochs:Array(Int64)}}, {{fates:Array(String)}}, {{blocks:Array(Int64)}})) AS e)))
GROUP BY producer_id, producer_epoch, fate, number HAVING steps != 0 LIMIT {MOST_BOUNDARIES + 1}
"""  # noqa: S608
RECEIVED = """
SELECT producer_id, producer_epoch, 1000 * toUnixTimestamp64Milli(max(kafka_timestamp)) FROM {view}
WHERE kafka_topic_id = {topic_id:String} AND kafka_offset < {ends:Array(Int64)}[kafka_partition + 1]
GROUP BY producer_id, producer_epoch
"""
SAID = """
SELECT producer_id, assumeNotNull(producer_epoch) AS epoch, assumeNotNull(sequence) AS number, event_type,
       toUnixTimestamp64Micro(coalesce(observed_at, occurred_at)) AS observed,
       toUnixTimestamp64Micro(assumeNotNull(processed_ingested_at)) AS received,
       toFloat64OrZero(arrayFirst(a -> a.key = 'interval_seconds', attributes).value) AS period,
       toInt64OrZero(arrayFirst(a -> a.key = 'dropped', attributes).value) AS dropped
FROM {view} WHERE event_type IN ({heartbeat:String}, {closed:String}) AND isNotNull(sequence) AND isNotNull(producer_epoch)
  AND processed_ingested_at < fromUnixTimestamp64Milli({until:Int64})
"""
HEARTBEATS = f"""
SELECT producer_id, epoch, max(number), argMax(observed, number), argMax(received, number),
       argMax(period, number), max(dropped), argMax(event_type, number)
FROM ({SAID}) GROUP BY producer_id, epoch
"""  # noqa: S608
DROPS = f"""
SELECT producer_id, epoch, dropped, min(number), max(number),
       argMax(least(observed, received), number), argMin(greatest(observed, received), number)
FROM ({SAID}) GROUP BY producer_id, epoch, dropped ORDER BY producer_id, epoch, dropped LIMIT {MOST_DROPS}
"""  # noqa: S608
EDGES = """
SELECT producer_id, assumeNotNull(producer_epoch), assumeNotNull(sequence),
       min(toUnixTimestamp64Micro(coalesce(observed_at, occurred_at))),
       max(toUnixTimestamp64Micro(coalesce(processed_ingested_at, occurred_at)))
FROM {view} WHERE (producer_id, producer_epoch, sequence) IN (
    SELECT e.1, e.2, e.3 FROM (
        SELECT arrayJoin(arrayZip({producers:Array(String)}, {epochs:Array(Int64)}, {numbers:Array(Int64)})) AS e))
GROUP BY producer_id, producer_epoch, sequence
"""
LOST = """
SELECT DISTINCT kafka_partition, kafka_offset, lost, toUnixTimestamp64Micro(max_timestamp) AS at FROM {view} WHERE lost > 0
"""
LOSSES = f"{LOST} ORDER BY kafka_partition, kafka_offset LIMIT {MOST_LOSSES + 1}"
ALL_LOSSES = f"""
SELECT kafka_partition, min(kafka_offset), sum(lost), if(min(at) > 0, max(at), 0) FROM ({LOST}) GROUP BY kafka_partition
"""  # noqa: S608
NEWEST = """
SELECT end_offset, toUnixTimestamp64Micro(max_timestamp) FROM {view}
WHERE kafka_partition = {partition:UInt16} AND kafka_offset < {below:Int64} ORDER BY kafka_offset DESC LIMIT 1
"""
CLEAN = """
SELECT raw_partition, max(end_offset), sum(clean) FROM {view}
WHERE kafka_offset < {ends:Array(Int64)}[kafka_partition + 1] AND end_offset <= {raw:Array(Int64)}[raw_partition + 1]
GROUP BY raw_partition
"""
THERE = "SELECT toString(table_id), part, count() FROM {view} GROUP BY table_id, part"
# One number names part and partition, as grouping by two columns costs half as much again.
HELD = """
SELECT any(part), any(kafka_partition), countIf(processed_raw_offset < {raw:Array(Int64)}[kafka_partition + 1]),
       max(assumeNotNull(processed_raw_offset))
FROM {view} WHERE kafka_topic_id = {topic_id:String} AND part IN {parts:Array(String)} AND isNotNull(processed_raw_offset)
GROUP BY place * 65536 + kafka_partition
"""


def quoted(text: str) -> str:
    """As an item of an array in a parameter."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def array(texts: list[str]) -> str:
    """Texts as a parameter of type Array(String)."""
    return "[" + ",".join(map(quoted, texts)) + "]"


def by_partition(offsets: dict[int, int]) -> str:
    """Offsets as a parameter of type Array(Int64), one a partition from 0; 0 where none is given."""
    return str([offsets.get(partition, 0) for partition in range(max(offsets, default=-1) + 1)])
