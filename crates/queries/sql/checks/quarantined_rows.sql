-- quarantined_rows: rows that were refused since the session, by file and rule.
SELECT file, rule, count(*) AS refused, min(value) AS example
FROM quarantine
WHERE known_at >= cast(cast(? AS date) AS timestamp)
GROUP BY file, rule
ORDER BY file, rule
