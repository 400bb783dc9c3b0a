-- duplicate_bars: two versions of a bar were known at the same time, so that neither of them is the latest.
SELECT cast(dt AS varchar) AS dt, sym, count(*) AS versions
FROM bars_daily
WHERE dt = cast(? AS date)
GROUP BY dt, sym, known_at
HAVING count(*) > 1
ORDER BY sym, known_at
