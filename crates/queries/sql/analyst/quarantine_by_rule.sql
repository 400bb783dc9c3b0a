-- quarantine_by_rule: refused rows of all times by rule and day of arrival.
SELECT rule, cast(cast(known_at AS date) AS varchar) AS arrived, count(*) AS refused
FROM quarantine
GROUP BY rule, cast(known_at AS date)
ORDER BY rule, arrived
