-- Every version of every split, cash dividend and delisting.
CREATE EXTERNAL TABLE IF NOT EXISTS algo_data.corporate_actions (
  `ex_date` date,
  `sym` string,
  `kind` string,
  `value` decimal(18,9),
  `currency` string,
  `known_at` timestamp,
  `source` string
)
STORED AS PARQUET
LOCATION '{lake}/corporate_actions/'
