-- Every version of every daily bar as it was imported; raw prices, a file for each import and year.
CREATE EXTERNAL TABLE IF NOT EXISTS algo_data.bars_daily (
  `dt` date,
  `sym` string,
  `open` decimal(18,9),
  `high` decimal(18,9),
  `low` decimal(18,9),
  `close` decimal(18,9),
  `vol` bigint,
  `mic` string,
  `currency` string,
  `known_at` timestamp,
  `source` string,
  `flags` string
)
PARTITIONED BY (`year` int)
STORED AS PARQUET
LOCATION '{lake}/bars_daily/'
TBLPROPERTIES (
  'projection.enabled' = 'true',
  'projection.year.type' = 'integer',
  'projection.year.range' = '1990,2100',
  'storage.location.template' = '{lake}/bars_daily/year=${year}/'
)
