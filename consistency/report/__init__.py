"""The report of an experiment: figures with intervals as JSON, tables, Parquet, drawings and one page."""
