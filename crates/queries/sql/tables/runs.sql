-- Which run says what a strategy did in a session, and what it was made from.
CREATE EXTERNAL TABLE IF NOT EXISTS algo_data.runs (
  `dt` date,
  `strategy` string,
  `run_id` string,
  `name` string,
  `version` string,
  `journal_sha256` string,
  `input_sha256` string,
  `config_sha256` string,
  `control` string,
  `fills` bigint,
  `orders` bigint,
  `refused` bigint
)
STORED AS PARQUET
LOCATION '{lake}/runs/'
