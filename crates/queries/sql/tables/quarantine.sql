-- Every refused row with the contract it broke.
CREATE EXTERNAL TABLE IF NOT EXISTS algo_data.quarantine (
  `file` string,
  `line` bigint,
  `rule` string,
  `value` string,
  `row` string,
  `source` string,
  `known_at` timestamp
)
STORED AS PARQUET
LOCATION '{lake}/quarantine/'
