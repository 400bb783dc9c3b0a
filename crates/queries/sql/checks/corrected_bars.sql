-- corrected_bars: bars of the last 30 days that were changed since the day after the session before.
-- Not since midnight of the session: what a weekend brings belongs to Monday.
SELECT cast(dt AS varchar) AS dt, sym, count(*) AS versions
FROM bars_daily
WHERE dt >= date_add('day', -30, cast(? AS date)) AND dt < cast(? AS date)
GROUP BY dt, sym
HAVING count(*) > 1
  AND max(known_at) >= cast((
    SELECT date_add('day', 1, max(dt)) FROM bars_daily WHERE dt < cast(? AS date)
  ) AS timestamp)
ORDER BY dt, sym
