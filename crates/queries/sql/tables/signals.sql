-- What a model said of a symbol at the close of a session.
CREATE EXTERNAL TABLE IF NOT EXISTS algo_data.signals (
  `dt` date,
  `sym` string,
  `model` string,
  `long` double,
  `short` double,
  `value` double,
  `input` string,
  `known_at` timestamp
)
STORED AS PARQUET
LOCATION '{lake}/signals/'
