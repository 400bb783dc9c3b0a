-- late_bars: the bar came more than 36 hours after its session's close, and not with the first delivery of its symbol; no run decides on it.
-- 57 hours after midnight UTC are 36 after a close at 16:00 in New York's winter. In summer, and after an early close,
-- the last hours in which a bar is late already are not told; whatever is told is late.
SELECT sym, date_format(first_known, '%Y-%m-%d %H:%i') AS first_known
FROM (
  SELECT
    sym,
    min(known_at) AS first_delivery,
    min(CASE WHEN dt = cast(? AS date) THEN known_at END) AS first_known
  FROM bars_daily
  GROUP BY sym
) AS deliveries
WHERE first_known > first_delivery
  AND first_known > date_add('hour', 57, cast(cast(? AS date) AS timestamp))
ORDER BY sym
