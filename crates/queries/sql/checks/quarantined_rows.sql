-- quarantined_rows: rows that were refused since the day after the session before, by file and rule.
-- Not since midnight of the session: what a weekend brings belongs to Monday.
SELECT file, rule, count(*) AS refused, min(value) AS example
FROM quarantine
WHERE known_at >= cast((
    SELECT coalesce(date_add('day', 1, max(dt)), cast(? AS date)) FROM bars_daily WHERE dt < cast(? AS date)
  ) AS timestamp)
GROUP BY file, rule
ORDER BY file, rule
